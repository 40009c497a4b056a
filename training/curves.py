"""Pictures of a training: loss and metric by step, runs side by side, labels mistaken."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.learning import Learning
from training.metrics import Measurement

_POINTS: Final = 200
"""A curve of more steps is drawn through the means of so many stretches of steps."""

_MAX_INCHES: Final = 24
_MAX_WRITTEN: Final = 30
"""Labels up to which the counts are written into the picture."""


def draw_curve(run: Learning, path: Path) -> None:
    """Draw one run: training loss, validation loss and metric by step, the best one marked."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    _draw_losses(axes, run)
    metric = axes.twinx()
    _draw_metric(metric, run)
    figure.suptitle(run.config.run_name)
    lines = [*axes.get_lines(), *metric.get_lines()]
    axes.legend(lines, [str(line.get_label()) for line in lines], loc="center right")
    figure.savefig(path, dpi=120)


def draw_overview(runs: Sequence[Learning], path: Path) -> None:
    """Draw the validation metric of many runs in one picture."""
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
    figure.savefig(path, dpi=120)


def draw_confusion(title: str, measurement: Measurement, path: Path) -> None:
    """Draw which label the rows of each label were given, in shares of its rows.

    Draws nothing for tasks where a row does not have one label of a set.
    """
    if measurement.confusion is None or np.ndim(measurement.confusion) != 2:
        return
    counts = np.array(measurement.confusion)
    labels = [score.label for score in measurement.per_label]
    side = min(_MAX_INCHES, 4 + 0.3 * len(labels))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), "Blues", vmax=1)
    image.set_clim(0, 1)
    places = range(len(labels))
    axes.set_xticks(places, labels, rotation=90)
    axes.set_yticks(places, labels)
    axes.set(xlabel="given", ylabel="true", title=title)
    if len(labels) <= _MAX_WRITTEN:
        for (row, column), count in np.ndenumerate(counts):
            shade = "white" if count > counts[row].sum() / 2 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=shade)
    figure.savefig(path, dpi=120)


def _draw_losses(axes: Axes, run: Learning) -> None:
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


def _draw_metric(axes: Axes, run: Learning) -> None:
    name = run.config.metric
    steps = [evaluation.step for evaluation in run.history]
    merits = [evaluation.metrics[name] for evaluation in run.history]
    axes.plot(steps, merits, color="tab:orange", marker=".", label=f"validation {name}")
    axes.set_ylabel(f"validation {name}")
    if run.best is not None:
        best = run.best
        label = f"best: {best.metrics[name]:.4f} at step {best.step}"
        axes.plot([best.step], [best.metrics[name]], "*", color="tab:red", ms=14, label=label)


def _smooth(losses: Sequence[float]) -> tuple[list[int], list[float]]:
    """Average stretches of steps; each point stands at the last step of its stretch."""
    stretches = [part for part in np.array_split(np.array(losses), _POINTS) if len(part)]
    ends = np.cumsum([len(part) for part in stretches])
    return [int(end) for end in ends], [float(part.mean()) for part in stretches]
