"""Display: how a soak goes, while it runs."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tests.chaos.report import errors_by_kind
from tests.chaos.soak import Schedule, Soak


@contextmanager
def displayed(soak: Soak, schedule: Schedule, console: Console) -> Iterator[None]:
    """Show the figures of a running soak, where the output is a terminal."""
    if not console.is_terminal:
        yield
        return
    with Live(get_renderable=lambda: _table(soak, schedule), console=console, refresh_per_second=1):
        yield


def _table(soak: Soak, schedule: Schedule) -> Table:
    replies = list(soak.traffic.replies)
    table = Table.grid(padding=(0, 2))
    table.add_row("time", f"{soak.seconds:.0f} of {schedule.seconds:.0f} s")
    table.add_row("fault now", soak.current or "none")
    table.add_row("faults", str(sum(map(len, soak.recoveries.values()))))
    table.add_row("requests", str(len(replies)))
    for kind, count in errors_by_kind(replies).items():
        table.add_row(f"  {kind}", str(count))
    table.add_row("published versions", str(len(soak.publisher.acknowledged)))
    return table
