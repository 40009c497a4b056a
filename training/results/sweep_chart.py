"""The chart of a sweep: results by searched setting, and learning curves of all trials."""

import math
from pathlib import Path
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prefixes.atomic import atomic_file
from training.results.chart_labels import chart_labels
from training.search.record import SweepRecord, TrialRecord
from training.settings.sweep_plan import Range

_COLUMNS: Final = 3
_FADED: Final = 0.4
_COLORS: Final = {"complete": "tab:blue", "pruned": "tab:gray", "diverged": "tab:red"}


def draw_sweep(record: SweepRecord, path: Path) -> None:
    """Draw each trial's best value by each searched field, then all learning curves.

    Pruned trials are faded, and the best is a star in every panel.
    """
    fields = list(record.plan.space)
    num_rows = math.ceil((len(fields) + 1) / _COLUMNS)
    num_columns = min(_COLUMNS, len(fields) + 1)
    figure = Figure(figsize=(4 * num_columns, 3.5 * num_rows), layout="constrained")
    panels = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    for axes, field in zip(panels, fields, strict=False):
        _draw_field(axes, record, field)
    _draw_curves(panels[len(fields)], record)
    for axes in panels[len(fields) + 1 :]:
        axes.set_axis_off()
    figure.suptitle(f"{record.task}: best of {len(record.trials)} trials: {record.best}")
    with atomic_file(path) as file:
        figure.savefig(file, dpi=120)


def _draw_field(axes: Axes, record: SweepRecord, field: str) -> None:
    entry = record.plan.space[field]
    is_range = isinstance(entry, Range)
    names = [] if isinstance(entry, Range) else list(map(str, entry))
    for trial in record.trials:
        if trial.value is None:
            continue
        setting: Any = trial.settings[field]
        place = setting if is_range else names.index(str(setting))
        axes.plot([place], [trial.value], **_marker(record, trial))
    if not is_range:
        written = chart_labels(names)
        axes.set_xticks(range(len(names)), written.texts, **written.properties)
    elif isinstance(entry, Range) and entry.log:
        axes.set_xscale("log")
    axes.set(xlabel=field, ylabel=f"best validation {record.metric}")
    axes.grid(alpha=0.3)


def _draw_curves(axes: Axes, record: SweepRecord) -> None:
    for trial in record.trials:
        if not trial.curve:
            continue
        is_best = trial.number == record.best
        axes.plot(
            [step for step, _ in trial.curve],
            [value for _, value in trial.curve],
            color="tab:orange" if is_best else _COLORS[trial.outcome],
            alpha=1 if is_best else _alpha(trial),
            marker=".",
            linewidth=2 if is_best else 1,
            zorder=3 if is_best else 2,
        )
    axes.set(xlabel="step", ylabel=f"validation {record.metric}")
    axes.grid(alpha=0.3)


def _marker(record: SweepRecord, trial: TrialRecord) -> dict[str, Any]:
    if trial.number == record.best:
        return {"marker": "*", "ms": 14, "color": "tab:orange", "zorder": 3}
    return {"marker": "o", "ms": 5, "color": _COLORS[trial.outcome], "alpha": _alpha(trial)}


def _alpha(trial: TrialRecord) -> float:
    return 0.8 if trial.outcome == "complete" else _FADED
