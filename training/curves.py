"""Pictures of a training: the loss and the metric by step, and all runs side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.run import Run

_POINTS: Final = 200
"""A curve of more steps is drawn through the means of so many stretches of steps."""


def draw_curve(run: Run, path: Path) -> None:
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


def draw_overview(runs: Sequence[Run], path: Path) -> None:
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


def _draw_losses(axes: Axes, run: Run) -> None:
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


def _draw_metric(axes: Axes, run: Run) -> None:
    name = run.config.metric
    steps = [evaluation.step for evaluation in run.history]
    merits = [evaluation.metrics[name] for evaluation in run.history]
    axes.plot(steps, merits, color="tab:orange", marker=".", label=f"validation {name}")
    axes.set_ylabel(f"validation {name}")
    if run.best is not None:
        best = run.best.evaluation
        label = f"best: {best.metrics[name]:.4f} at step {best.step}"
        axes.plot([best.step], [best.metrics[name]], "*", color="tab:red", ms=14, label=label)


def _smooth(losses: Sequence[float]) -> tuple[list[int], list[float]]:
    """Average stretches of steps; each point stands at the last step of its stretch."""
    stretches = [part for part in np.array_split(np.array(losses), _POINTS) if len(part)]
    ends = np.cumsum([len(part) for part in stretches])
    return [int(end) for end in ends], [float(part.mean()) for part in stretches]
