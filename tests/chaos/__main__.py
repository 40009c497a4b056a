"""Runs the soak for some minutes: `python -m tests.chaos --minutes 30`, or `make soak`."""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console

from tests.chaos.cluster import Services, soak_of_servers
from tests.chaos.display import displayed
from tests.chaos.report import Report
from tests.chaos.soak import Schedule
from tests.postgresql import start_postgresql
from tests.seaweedfs import credentials, start_seaweedfs

_HOLD: Final = 5.0
_PAUSE: Final = 1.0
"""Seconds between publications."""


def main() -> None:
    options = _options()
    # Exit normally on SIGTERM, so that servers and interfaces are removed too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by SIGTERM"))
    console = Console()
    schedule = Schedule(60 * options.minutes, hold=_HOLD, every=options.every)
    os.environ.update(credentials())
    with (
        _services() as services,
        tempfile.TemporaryDirectory(prefix="soak-") as folder,
        soak_of_servers(Path(folder), services, pause=_PAUSE) as soak,
    ):
        with displayed(soak, schedule, console):
            report = soak.run(schedule, console.log)
        if not report.is_kept:
            _keep_logs(Path(folder), options.output)
    _show(report, console)
    report.write(options.output)
    console.print(f"Report written to {options.output}")
    sys.exit(not report.is_kept)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--minutes", type=float, default=30.0, help="length of the soak")
    parser.add_argument("--every", type=float, default=20.0, help="seconds from fault to fault")
    parser.add_argument("--output", type=Path, default=Path("var/soak.json"), help="JSON report")
    return parser.parse_args()


@contextmanager
def _services() -> Iterator[Services]:
    database, store = start_postgresql(), start_seaweedfs()
    try:
        yield Services(database, store)
    finally:
        store.remove()
        database.remove()


def _keep_logs(folder: Path, output: Path) -> None:
    """Copy the logs of the servers next to the report, to look for the reason of a violation."""
    output.parent.mkdir(parents=True, exist_ok=True)
    for log in folder.rglob("*.log"):
        (output.parent / f"soak-{log.name}").write_bytes(log.read_bytes())


def _show(report: Report, console: Console) -> None:
    for table in report.tables():
        console.print(table)
    for verdict in report.verdicts:
        for violation in verdict.violations[:20]:
            console.print(f"{verdict.rule}: {violation}", markup=False)


if __name__ == "__main__":
    main()
