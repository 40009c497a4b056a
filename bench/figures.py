"""Figure: a measured value with its required bound; and ratios of alternating rounds."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Self

_MIN_ROUNDS: Final = 3
_MAX_NOISE: Final = 0.1
"""Above it, a run cannot decide whether a ratio is 1."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The minimum or maximum that is required of a figure.

    A figure may miss it by the `noise` of the run, which decides nothing if there is much noise. A
    bound that was set for other processors does not apply.
    """

    value: float
    side: Literal["at least", "at most"] = "at least"
    noise: float = 0.0
    applies: bool = True

    @classmethod
    def unchanged(
        cls, rounds: Sequence[float], side: Literal["at least", "at most"] = "at least"
    ) -> Self:
        """Require a ratio of 1, less the noise of its rounds, which few rounds do not show."""
        is_known = len(rounds) >= _MIN_ROUNDS
        return cls(1.0, side, noise=median_deviation(rounds) if is_known else 1.0)

    def holds(self, measured: float) -> bool | None:
        """Say whether it holds; None if it does not apply, or if noise exceeds the difference."""
        excess = measured - self.value if self.side == "at least" else self.value - measured
        if not self.applies or (self.noise > _MAX_NOISE and abs(excess) <= self.noise):
            return None
        return excess >= -self.noise


@dataclass(frozen=True, slots=True)
class Figure:
    """A value with its spread over the rounds; without a value, `note` gives the reason.

    `kernels` are the kernels that were measured, by operation, if they are known.
    """

    group: str
    name: str
    unit: str
    measured: float | None
    low: float | None = None
    high: float | None = None
    bound: Bound | None = None
    note: str | None = None
    kernels: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_rounds(
        cls,
        group: str,
        name: str,
        unit: str,
        rounds: Sequence[float],
        bound: Bound | None = None,
        *,
        kernels: Mapping[str, str] | None = None,
    ) -> Self:
        """Take the median of at least one round, with the lowest and the highest."""
        return cls(
            group,
            name,
            unit,
            statistics.median(rounds),
            min(rounds),
            max(rounds),
            bound,
            kernels=kernels or {},
        )

    @classmethod
    def absent(
        cls, group: str, name: str, unit: str, reason: str, bound: Bound | None = None
    ) -> Self:
        """Make a figure without a value, for something that could not be measured."""
        return cls(group, name, unit, None, bound=bound, note=reason)

    @property
    def holds(self) -> bool | None:
        """Whether the bound holds; None without a value, or if the bound decides nothing."""
        if self.bound is None or self.measured is None:
            return None
        return self.bound.holds(self.measured)


def speed_ratios(seconds: Sequence[float], others: Sequence[float]) -> list[float]:
    """Return the speedup over another contender in each round, from the seconds of both.

    Ratios are per round, since anything that slows the machine down temporarily affects both.
    """
    return [other / own for own, other in zip(seconds, others, strict=True)]


def median_deviation(values: Sequence[float]) -> float:
    """Return the median distance of values from their median."""
    middle = statistics.median(values)
    return statistics.median(abs(value - middle) for value in values)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
