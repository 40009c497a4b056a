"""Figure: one measured value with the bound it has to hold; and ratios of alternating rounds."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self


@dataclass(frozen=True, slots=True)
class Bound:
    """What a figure must not fall below, or not exceed."""

    value: float
    side: Literal["at least", "at most"] = "at least"

    def holds(self, measured: float) -> bool:
        return measured >= self.value if self.side == "at least" else measured <= self.value


@dataclass(frozen=True, slots=True)
class Figure:
    """A value with its spread over the rounds; without a value, `note` says why there is none."""

    group: str
    name: str
    unit: str
    measured: float | None
    low: float | None = None
    high: float | None = None
    bound: Bound | None = None
    note: str | None = None

    @classmethod
    def of_rounds(
        cls,
        group: str,
        name: str,
        unit: str,
        rounds: Sequence[float],
        bound: Bound | None = None,
    ) -> Self:
        """Take the median of at least one round, and the lowest and highest beside it."""
        return cls(group, name, unit, statistics.median(rounds), min(rounds), max(rounds), bound)

    @classmethod
    def absent(
        cls, group: str, name: str, unit: str, reason: str, bound: Bound | None = None
    ) -> Self:
        """Keep the place of what could not be measured, and say why."""
        return cls(group, name, unit, None, bound=bound, note=reason)

    @property
    def holds(self) -> bool | None:
        """Tell whether the bound holds; None where there is no bound or nothing was measured."""
        if self.bound is None or self.measured is None:
            return None
        return self.bound.holds(self.measured)


def speed_ratios(seconds: Sequence[float], others: Sequence[float]) -> list[float]:
    """Give for each round how many times as fast as another one ran, from both one's seconds.

    Each round's own: what slows the machine down for a while slows down both.
    """
    return [other / own for own, other in zip(seconds, others, strict=True)]


def quantile(values: Sequence[float], share: float) -> float:
    """Give the smallest value that this share of all does not exceed, of at least one."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
