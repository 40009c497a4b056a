"""Progress of a training on the terminal: a bar per run with loss, metric and time left."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from training.learning.base_run import BaseRun

_ANSWERS: Final = "rows that the teacher answers"
_SECONDS_BETWEEN_LINES: Final = 60.0
_MAX_BARS: Final = 20
"""Maximum number of runs for which the bars of finished runs stay visible."""


class TrainingProgress:
    """One progress bar per run on a terminal; elsewhere one line per minute.

    Both print a line for every evaluation.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: dict[str, TaskID] = {}
        self._num_evaluations: dict[str, int] = {}
        self._printed: set[str] = set()
        self._last_line = time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )

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

    def show(self, runs: Sequence[BaseRun]) -> None:
        """Update the bars of these runs."""
        for run in runs:
            bar = self._bar(run)
            self._progress.update(bar, completed=run.step, figures=_figures(run))
            if self._num_evaluations[run.config.run_name] < len(run.history):
                self._num_evaluations[run.config.run_name] = len(run.history)
                self._print_evaluation(run)
            if run.ended is not None:
                self._progress.update(bar, total=run.step, visible=len(self._bars) <= _MAX_BARS)
                self._print_progress(f"{run.config.run_name}: {run.ended}")
        if not self._console.is_terminal and self._is_silent:
            for run in runs:
                self._print_progress(
                    f"{run.config.run_name}: step {run.step}/{run.total_steps}  {_figures(run)}"
                )

    def show_answers(self, done: int, total: int) -> None:
        """Update the bar of the rows that a teacher has answered."""
        bar = self._bars.get(_ANSWERS)
        if bar is None:
            bar = self._progress.add_task(_ANSWERS, total=total, figures="")
            self._bars[_ANSWERS] = bar
        self._progress.update(bar, completed=done, total=total)
        if not self._console.is_terminal and self._is_silent:
            self._print_progress(f"{_ANSWERS}: {done} of {total}")

    @property
    def _is_silent(self) -> bool:
        return time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES

    def _print_progress(self, line: str) -> None:
        self._last_line = time.monotonic()
        self._print(line)

    def _print(self, line: str, style: str | None = None) -> None:
        # Without markup, because labels and columns may be named `[/b]` or `:x:`.
        self._console.print(
            line, style=style, markup=False, emoji=False, highlight=False, soft_wrap=True
        )

    def _describe_rows(self, run: BaseRun) -> None:
        """Print how the rows were read, and warnings about them, once for all runs."""
        lines = {**dict.fromkeys(run.rows.data.summary), **dict.fromkeys(run.warnings, "yellow")}
        for line, style in lines.items():
            if line not in self._printed:
                self._printed.add(line)
                self._print(line, style)

    def _bar(self, run: BaseRun) -> TaskID:
        if run.config.run_name not in self._bars:
            self._describe_rows(run)
            bar = self._progress.add_task(
                run.config.run_name, total=run.total_steps, completed=run.step, figures=""
            )
            self._bars[run.config.run_name] = bar
            self._num_evaluations[run.config.run_name] = max(0, len(run.history) - 1)
            if run.starting_prefix is not None:
                self._print_progress(f"{run.config.run_name} {run.starting_prefix}")
            if run.teacher is not None:
                metric = run.config.metric
                self._print_progress(
                    f"{run.config.run_name}: its teacher reached {metric} "
                    f"{run.teacher.validation[metric]:.4f} on the validation rows"
                )
        return self._bars[run.config.run_name]

    def _print_evaluation(self, run: BaseRun) -> None:
        latest = run.history[-1]
        figures = "  ".join(f"{name} {value:.4f}" for name, value in latest.metrics.items())
        self._print_progress(
            f"{run.config.run_name}: epoch {latest.epoch:.1f}, step {latest.step}/"
            f"{run.total_steps}  loss {latest.train_loss:.4f} / {latest.loss:.4f}  {figures}"
        )


def _figures(run: BaseRun) -> str:
    loss = f"loss {run.losses[-1]:.4f}" if run.losses else ""
    if run.best is None:
        return loss
    metric = run.config.metric
    return f"{loss}  best {metric} {run.best.metrics[metric]:.4f}"
