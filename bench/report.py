"""Reports: figures as a table, a picture, and JSON entries with their origin."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from rich.table import Table

from bench.figures import Bound, Figure
from bench.origin import facts
from bench.processor import REQUIRED_INSTRUCTIONS, Processor

mpl.use("agg")  # before pyplot is imported: it must not need a screen

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

SPEEDS: Final = ("texts/s", "requests/s")


def table(figures: Sequence[Figure]) -> Table:
    """Make a table of the figures, with a section per group."""
    laid = Table("", "measured", "rounds", "unit", title=str(Processor.here()))
    group = None
    for figure in figures:
        if figure.group != group:
            group = figure.group
            laid.add_section()
            laid.add_row(f"[bold]{group}[/bold]")
        laid.add_row(f"  {figure.name}", _measured(figure), _rounds(figure), figure.unit)
    return laid


def requirements(figures: Sequence[Figure]) -> Table:
    """Make a table of the figures with a bound: whether each passes, fails or does not apply."""
    laid = Table("", "measured", "bound", "result", title="required results")
    for figure in figures:
        if figure.bound is not None:
            name = f"{figure.group}: {figure.name}"
            laid.add_row(name, _measured(figure), _bound(figure.bound), _verdict(figure))
    if any(figure.bound is not None and not figure.bound.applies for figure in figures):
        laid.caption = f"A bound that is not applicable needs {REQUIRED_INSTRUCTIONS}."
    return laid


def notes(figures: Sequence[Figure]) -> list[str]:
    """List the reasons of absent figures, each reason once."""
    told = {figure.note: figure for figure in reversed(figures) if figure.note is not None}
    return [f"{figure.group}: {figure.name}: {note}" for note, figure in told.items()]


def write(figures: Sequence[Figure], path: Path, *, num_threads: int) -> None:
    """Write the figures to a JSON file, and a picture next to it."""
    origin = facts(num_threads)
    entries = [entry(figure) | origin for figure in figures]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    draw(figures, path.with_suffix(".png"))


def entry(figure: Figure) -> dict[str, Any]:
    """Convert a figure to JSON; `low` and `high` are its lowest and highest round."""
    return {
        "name": f"{figure.group}: {figure.name}",
        "measured": _rounded(figure.measured),
        "bound": None if figure.bound is None else figure.bound.value,
        "holds": figure.holds,
        "unit": figure.unit,
        "low": _rounded(figure.low),
        "high": _rounded(figure.high),
        "bound_is": None if figure.bound is None else figure.bound.side,
        "bound_applies": None if figure.bound is None else figure.bound.applies,
        "noise": None if figure.bound is None else _rounded(figure.bound.noise),
        "note": figure.note,
        "kernels": dict(figure.kernels),
    }


def draw(figures: Sequence[Figure], path: Path) -> None:
    """Draw the speeds with their spread, in a panel per group."""
    panels: dict[str, list[Figure]] = {}
    for figure in figures:
        if figure.unit in SPEEDS and figure.measured is not None:
            panels.setdefault(figure.group, []).append(figure)
    if not panels:
        return
    heights = [len(bars) + 2 for bars in panels.values()]
    picture, axes = plt.subplots(
        len(panels),
        figsize=(9, 0.26 * sum(heights)),
        height_ratios=heights,
        squeeze=False,
        layout="constrained",
    )
    for one, (group, bars) in zip(axes.flat, panels.items(), strict=True):
        _draw_panel(one, group, bars)
    picture.suptitle(str(Processor.here()))
    picture.savefig(path, dpi=120)
    plt.close(picture)


def _draw_panel(axes: Axes, group: str, bars: Sequence[Figure]) -> None:
    names = [bar.name for bar in bars]
    values = [bar.measured or 0.0 for bar in bars]
    below = [value - (bar.low or value) for bar, value in zip(bars, values, strict=True)]
    above = [(bar.high or value) - value for bar, value in zip(bars, values, strict=True)]
    colors = ["#4878a8" if "task" in name or "prefix" in name else "#b0b0b0" for name in names]
    axes.barh(names, values, xerr=(below, above), color=colors, ecolor="#404040", capsize=2)
    axes.invert_yaxis()
    axes.set_title(f"{group}: {bars[0].unit}", loc="left", fontsize="medium")
    axes.tick_params(labelsize="small")
    axes.spines[["top", "right"]].set_visible(False)


def _measured(figure: Figure) -> str:
    return "absent" if figure.measured is None else _digits(figure.measured)


def _digits(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")


def _rounds(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return ""
    return f"{_digits(figure.low)} to {_digits(figure.high)}"


def _bound(bound: Bound) -> str:
    noise = f", noise {bound.noise:.2g}" if bound.noise else ""
    return f"{bound.side} {_digits(bound.value)}{noise}"


def _verdict(figure: Figure) -> str:
    if figure.bound is not None and not figure.bound.applies:
        return "not applicable"
    undecided = "not measured" if figure.measured is None else "too much noise"
    return {None: undecided, True: "pass", False: "[bold]FAILS[/bold]"}[figure.holds]
