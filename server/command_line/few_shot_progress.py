"""Progress of the texts that the backbone embeds for a few-shot head."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn


class FewShotProgress:
    """A bar on a terminal, and nothing elsewhere: the work takes seconds."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("embedding texts"),
            BarColumn(),
            MofNCompleteColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._bar = self._progress.add_task("")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def show(self, done: int, total: int) -> None:
        """Update the bar."""
        self._progress.update(self._bar, completed=done, total=total)
