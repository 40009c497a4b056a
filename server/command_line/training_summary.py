"""The output of `train` at its end: a table of runs, warnings, and the trials of a sweep."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Column, Table

from training.data.lessons import TeacherFacts
from training.results.rejection import FittedRejection
from training.results.thresholds import FittedThresholds
from training.search.record import SweepRecord
from training.settings.config import TrainConfig
from training.tasks.metrics import Measurement

_MAX_TRIALS: Final = 20
_MAX_LABELS: Final = 20


@dataclass(frozen=True, slots=True)
class RunResult:
    """The measurements of a run, and the file or folder that it wrote.

    `validation` is empty if there were no labeled rows. If `is_cross_validated`, it measures the
    training rows, each with a head that did not see it.
    """

    config: TrainConfig
    validation: Measurement
    test: Measurement | None
    place: Path
    is_readable: bool
    is_cross_validated: bool = False
    thresholds: FittedThresholds | None = None
    rejection: FittedRejection | None = None
    teacher: TeacherFacts | None = None


def print_results(console: Console, results: Sequence[RunResult]) -> None:
    console.print(_table(results))
    for one in results:
        if one.thresholds is not None:
            console.print(_threshold_table(one.config.run_name, one.thresholds))
            for warning in one.thresholds.warnings:
                console.print(warning, style="yellow")
        if one.rejection is not None:
            console.print(f"{one.config.run_name}: {one.rejection.summary}")
        if one.teacher is not None:
            console.print(_comparison(one, one.teacher))
    for warning in _warnings(results):
        console.print(warning, style="yellow")


def sweep_table(record: SweepRecord) -> Table:
    """List the best trials of a task, with the settings that were searched."""
    fields = list(record.plan.space)
    title = f"{record.task}: {len(record.trials)} trials"
    searched = [Column(field, overflow="fold") for field in fields]
    table = Table("trial", *searched, record.metric, "steps", "ended", title=title)
    evaluated = [trial for trial in record.trials if trial.value is not None]
    for trial in sorted(evaluated, key=lambda one: one.value or 0, reverse=True)[:_MAX_TRIALS]:
        table.add_row(
            str(trial.number),
            *(_short(trial.settings[field]) for field in fields),
            f"{trial.value:.4f}",
            str(trial.curve[-1][0]),
            trial.outcome,
            style="bold" if trial.number == record.best else None,
        )
    return table


def _table(results: Sequence[RunResult]) -> Table:
    table = Table("run", "best by", "validation", "test", Column("written to", overflow="fold"))
    for one in results:
        metric = one.config.metric
        table.add_row(
            one.config.run_name,
            metric,
            _figure(one.validation, metric)
            + (" (rows left out)" if one.is_cross_validated else ""),
            _figure(one.test, metric),
            str(one.place),
        )
    return table


def _figure(measured: Measurement | None, metric: str) -> str:
    if measured is None or metric not in measured.metrics:
        return ""
    return f"{measured.metrics[metric]:.4f}"


def _comparison(result: RunResult, teacher: TeacherFacts) -> str:
    """Compare a prefix with its teacher on the validation rows."""
    metric = result.config.metric
    return (
        f"{result.config.run_name}: {metric} on the validation rows: "
        f"teacher {teacher.validation[metric]:.4f}, prefix {_figure(result.validation, metric)}"
    )


def _threshold_table(run_name: str, fitted: FittedThresholds) -> Table:
    """List the thresholds of the labels with the most validation rows."""
    title = f"{run_name}: thresholds for {fitted.target}, {fitted.answered:.1%} of rows answered"
    table = Table("label", "threshold", "precision", "recall", "rows", title=title)
    for one in sorted(fitted.labels, key=lambda label: -label.rows)[:_MAX_LABELS]:
        figures = (one.threshold, one.precision, one.recall)
        table.add_row(one.label, *(f"{figure:.4f}" for figure in figures), str(one.rows))
    return table


def _warnings(results: Sequence[RunResult]) -> Iterator[str]:
    for one in results:
        label = one.validation.only_answer
        if label is not None:
            yield (
                f"{one.config.run_name} predicts {label!r} for every validation row: it learned "
                f"only which label is the most frequent. {_remedy(one)}"
            )


def _remedy(result: RunResult) -> str:
    if not result.is_readable:
        return "The backbone cannot read the texts. Use one whose vocabulary covers them."
    return "Try more epochs, another learning_rate, or more rows of the other labels."


def _short(setting: Any) -> str:
    return f"{setting:.4g}" if isinstance(setting, float) else str(setting)
