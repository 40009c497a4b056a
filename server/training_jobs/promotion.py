"""The margin rule: whether a new version takes the place of the one that is live."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a new version is to be promoted, and why."""

    is_promoted: bool
    reason: str


def judge(outcome: Mapping[str, Any], *, live_version: int | None, margin: float) -> Verdict:
    """Compare the figures that a worker measured on the same held-out rows; higher is better.

    Args:
        outcome: what the worker wrote.
        live_version: the version that was live when it began; None for none.
        margin: by how much the new one must be better; at 0, by anything at all.
    """
    if live_version is None:
        return Verdict(True, "there was no live version")
    new, live = outcome["new"], outcome["live"]
    if live is None or new is None:
        return Verdict(False, f"it could not be compared with version {live_version}")
    figures = (
        f"{outcome['metric']} on {outcome['num_rows']} {outcome['measured_on']} rows: new "
        f"{new:.4f}, version {live_version} {live:.4f}, margin {margin:g}"
    )
    if new - live > margin:
        return Verdict(True, f"it is better by more than the margin ({figures})")
    return Verdict(False, f"it is not better by more than the margin ({figures})")


def overtaken(live_version: int | None) -> Verdict:
    """Judge a version that was compared with one that is live no longer."""
    was = "nothing was" if live_version is None else f"version {live_version} was"
    return Verdict(False, f"{was} live when the training began, and something else is now")
