"""Runs the soak for some minutes: `python -m tests.chaos --minutes 10`, or `make soak`."""

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tests.chaos.cluster import soak_of_servers
from tests.postgresql import start_postgresql


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--minutes", type=float, default=10.0, help="length of the soak")
    options = parser.parse_args()
    console = Console()
    database = start_postgresql()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="soak-") as folder,
            soak_of_servers(Path(folder), database) as soak,
        ):
            report = soak.run(60 * options.minutes, console.print)
    finally:
        database.remove()
    console.print(f"responses by status (0: no response): {dict(report.statuses)}")
    console.print(f"published versions: {report.num_published}")
    for name, seconds in report.recoveries.items():
        console.print(f"{name}: recovered within {seconds:.1f} s")
    for problem in report.problems:
        console.print(f"PROBLEM: {problem}")
    sys.exit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
