"""Fuzzing: `python -m tests.fuzz --cases 20000` sends generated requests to a server.

The exit code is 1 if a response is not documented, is a 5xx, has another shape, or never comes,
and if a route accepted no request at all.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from prefixes.backbone import load_backbone
from tests.factories import make_backbone_folder
from tests.fuzz.run import fuzz
from tests.fuzz.world import running_world


def main() -> int:
    """Run, and print the number of requests."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000, help="Minimum number of requests.")
    parser.add_argument("--examples", type=int, default=100, help="Of each route, in each pass.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        backbone = load_backbone(str(make_backbone_folder(folder / "backbone")), device="cpu")
        with running_world(folder / "store", backbone) as world:
            outcome = fuzz(
                world, folder, num_cases=options.cases, examples_per_route=options.examples
            )
    sys.stdout.write(
        f"{outcome.num_cases} requests in {outcome.num_passes} passes: "
        f"{'a check failed' if outcome.has_failed else 'every check passed'}\n"
    )
    if outcome.unreached:
        sys.stdout.write(f"Routes without an accepted request: {sorted(outcome.unreached)}\n")
    return int(outcome.has_failed or bool(outcome.unreached))


if __name__ == "__main__":
    sys.exit(main())
