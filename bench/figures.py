"""Figure: a measured value with its required bound; and ratios of alternating rounds."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self


@dataclass(frozen=True, slots=True)
class Bound:
    """The minimum or maximum that is required of a figure."""

    value: float
    side: Literal["at least", "at most"] = "at least"

    def holds(self, measured: float) -> bool:
        return measured >= self.value if self.side == "at least" else measured <= self.value


@dataclass(frozen=True, slots=True)
class Figure:
    """A value with its spread over the rounds; without a value, `note` gives the reason."""

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
        """Take the median of at least one round, with the lowest and the highest."""
        return cls(group, name, unit, statistics.median(rounds), min(rounds), max(rounds), bound)

    @classmethod
    def absent(
        cls, group: str, name: str, unit: str, reason: str, bound: Bound | None = None
    ) -> Self:
        """Make a figure without a value, for something that could not be measured."""
        return cls(group, name, unit, None, bound=bound, note=reason)

    @property
    def holds(self) -> bool | None:
        """Whether the bound holds; None without a bound or a value."""
        if self.bound is None or self.measured is None:
            return None
        return self.bound.holds(self.measured)


def speed_ratios(seconds: Sequence[float], others: Sequence[float]) -> list[float]:
    """Return the speedup over another contender in each round, from the seconds of both.

    Ratios are per round, since anything that slows the machine down temporarily affects both.
    """
    return [other / own for own, other in zip(seconds, others, strict=True)]


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
