"""Charts of a training: loss and metric by step, all runs, and the confusion of labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from prefixes.atomic import atomic_file
from training.learning.base_run import BaseRun
from training.results.chart_labels import chart_labels
from training.tasks.metrics import Measurement

Numbers = NDArray[np.int64]

_POINTS: Final = 200
"""Maximum number of points of a curve. More steps are averaged in intervals."""

_MAX_INCHES: Final = 24
_MAX_DRAWN: Final = 100
"""Maximum number of labels for which all are drawn; beyond it, the `_MOST_MISTAKEN`."""
_MOST_MISTAKEN: Final = 40
_MAX_WRITTEN: Final = 30
"""Maximum number of labels for which the counts are written into the chart."""


def draw_curve(run: BaseRun, path: Path) -> None:
    """Draw training loss, validation loss and metric of a run by step, and mark the best."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    _draw_losses(axes, run)
    metric = axes.twinx()
    _draw_metric(metric, run)
    figure.suptitle(run.config.run_name)
    lines = [*axes.get_lines(), *metric.get_lines()]
    axes.legend(lines, [str(line.get_label()) for line in lines], loc="center right")
    with atomic_file(path) as file:
        figure.savefig(file, dpi=120)


def draw_overview(runs: Sequence[BaseRun], path: Path) -> None:
    """Draw the validation metric of many runs in one chart."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    for run in runs:
        steps = [evaluation.step for evaluation in run.history]
        merits = [evaluation.metrics[run.config.metric] for evaluation in run.history]
        axes.plot(steps, merits, marker=".", label=run.config.run_name)
    metrics = dict.fromkeys(run.config.metric for run in runs)
    axes.set(xlabel="step", ylabel=f"validation {' / '.join(metrics)}")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    with atomic_file(path) as file:
        figure.savefig(file, dpi=120)


def draw_confusion(title: str, measurement: Measurement, path: Path) -> None:
    """Draw the confusion of labels, as shares of the rows of each true label.

    With very many labels, only those confused most often are drawn, and the title says so. Nothing
    is drawn for tasks without single labels.
    """
    cells = measurement.cells
    if cells is None:
        return
    num_labels = len(measurement.per_label)
    drawn = _most_mistaken(cells, num_labels) if num_labels > _MAX_DRAWN else np.arange(num_labels)
    if len(drawn) < num_labels:
        title = f"{title}: the {len(drawn)} of {num_labels} labels most often mistaken"
    side = min(_MAX_INCHES, 4 + 0.3 * len(drawn))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    scores = [measurement.per_label[number] for number in drawn]
    _draw_shares(axes, _matrix(cells, drawn), np.array([score.support for score in scores]))
    written = chart_labels([score.label for score in scores], drawn.tolist())
    if written.has_numbers:
        title += (
            "\n#: a label's number in report.json, data.labels; no font here has its characters"
        )
    places = range(len(scores))
    axes.set_xticks(places, written.texts, rotation=90, **written.properties)
    axes.set_yticks(places, written.texts, **written.properties)
    axes.set(xlabel="given", ylabel="true")
    axes.set_title(title, wrap=True)
    with atomic_file(path) as file:
        figure.savefig(file, dpi=120)


def _most_mistaken(cells: Numbers, num_labels: int) -> Numbers:
    """Return the labels that are most often confused with another one, in either direction."""
    wrong = cells[cells[:, 0] != cells[:, 1]]
    mistakes = np.zeros(num_labels, dtype=np.int64)
    np.add.at(mistakes, wrong[:, :2], wrong[:, 2:])
    return np.sort(np.argsort(-mistakes, kind="stable")[:_MOST_MISTAKEN])


def _matrix(cells: Numbers, drawn: Numbers) -> Numbers:
    """Return the counts of rows by true and given label."""
    is_drawn = np.isin(cells[:, :2], drawn).all(axis=1)
    counts = np.zeros((len(drawn), len(drawn)), dtype=np.int64)
    true, given = np.searchsorted(drawn, cells[is_drawn, :2]).T
    counts[true, given] = cells[is_drawn, 2]
    return counts


def _draw_shares(axes: Axes, counts: Numbers, totals: Numbers) -> None:
    """Draw counts as shares of the rows of their true label, with numbers if there is space."""
    axes.imshow(counts / np.maximum(totals[:, None], 1), "Blues").set_clim(0, 1)
    if len(counts) > _MAX_WRITTEN:
        return
    for (row, column), count in np.ndenumerate(counts):
        shade = "white" if count > totals[row] / 2 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=shade)


def _draw_losses(axes: Axes, run: BaseRun) -> None:
    steps, losses = _smooth(run.losses)
    axes.plot(steps, losses, color="tab:blue", alpha=0.7, label="training loss")
    axes.plot(
        [evaluation.step for evaluation in run.history],
        [evaluation.loss for evaluation in run.history],
        color="tab:blue",
        linestyle="--",
        marker=".",
        label="validation loss",
    )
    axes.set(xlabel="step", ylabel="loss")
    axes.grid(alpha=0.3)


def _draw_metric(axes: Axes, run: BaseRun) -> None:
    name = run.config.metric
    steps = [evaluation.step for evaluation in run.history]
    merits = [evaluation.metrics[name] for evaluation in run.history]
    axes.plot(steps, merits, color="tab:orange", marker=".", label=f"validation {name}")
    axes.set_ylabel(f"validation {name}")
    if run.teacher is not None:
        reached = run.teacher.validation[name]
        label = f"its teacher: {reached:.4f}"
        axes.axhline(reached, color="tab:green", linestyle=":", label=label)
    if run.best is not None:
        best = run.best
        label = f"best: {best.metrics[name]:.4f} at step {best.step}"
        axes.plot([best.step], [best.metrics[name]], "*", color="tab:red", ms=14, label=label)


def _smooth(losses: Sequence[float]) -> tuple[list[int], list[float]]:
    """Average intervals of steps. Each point is at the last step of its interval."""
    stretches = [part for part in np.array_split(np.array(losses), _POINTS) if len(part)]
    ends = np.cumsum([len(part) for part in stretches])
    return [int(end) for end in ends], [float(part.mean()) for part in stretches]
