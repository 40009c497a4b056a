"""Contests: the candidates of one operation, and the rule that picks one by its figures."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from torch import Tensor

Call = Callable[[], Sequence[Tensor]]
"""Runs one workload once, and returns its results."""

Rounds = Sequence[Sequence[float]]
"""The seconds that a candidate took, for each workload and in each round."""

_SHARE_OF_ROUNDS: Final = 0.75
"""The share of rounds in which a candidate that is slower at a size has to be slower."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A size at which candidates are measured; by default with all threads of the process."""

    label: str
    num_threads: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """An implementation of an operation.

    `prepare` returns one call for each workload of the contest. Any RuntimeError or AttributeError
    that it or a call raises excludes the candidate: torch raises these for operators that are
    missing, or that the processor cannot run.
    """

    name: str
    prepare: Callable[[], Sequence[Call]]


@dataclass(frozen=True, slots=True, eq=False)
class Contest:
    """Several candidates for one operation, of which the first is the reference.

    A candidate replaces the reference only if it is at least `min_speedup` times as fast over all
    workloads, as a geometric mean, and clearly slower than `min_speedup_at_worst` times at none.

    `tolerance` is the largest difference from the results of the reference, relative to their
    largest magnitude; infinity for number types, whose results differ. `seconds` limits the
    time of the measurement. Calls that have begun, and the first call of each, are completed.
    """

    operation: str
    workloads: Sequence[Workload]
    candidates: Sequence[Candidate]
    tolerance: float
    seconds: float
    min_speedup: float = 1.02
    min_speedup_at_worst: float = 0.95

    @property
    def reference(self) -> str:
        return self.candidates[0].name


@dataclass(frozen=True, slots=True)
class Figures:
    """The results of a measurement.

    `seconds` are the times of the candidates, and empty if there was nothing to compare.
    `excluded` are the reasons why other candidates were not measured.
    """

    seconds: Mapping[str, Rounds]
    excluded: Mapping[str, str]


def pick(contest: Contest, seconds: Mapping[str, Rounds]) -> str:
    """Return the name of the fastest candidate, or of the reference unless it is clearly slower.

    Times of the same round are compared, because other programs slow down all of its calls. At each
    workload, the median decides. A candidate is clearly slower at a workload if it is slower in
    three quarters of the rounds: the noise of one call is often larger than the difference.
    """
    best, best_mean = contest.reference, contest.min_speedup
    for name in seconds.keys() - {contest.reference}:
        speedups = list(_speedups(seconds[contest.reference], seconds[name]))
        mean = math.prod(map(median, speedups)) ** (1 / len(speedups))
        is_slower = any(_is_slower(own, contest.min_speedup_at_worst) for own in speedups)
        if mean >= best_mean and not is_slower:
            best, best_mean = name, mean
    return best


def _speedups(reference: Rounds, candidate: Rounds) -> Iterator[list[float]]:
    """Yield for each workload the speedups in all rounds."""
    for theirs, ours in zip(reference, candidate, strict=True):
        yield [one / other for one, other in zip(theirs, ours, strict=True)]


def _is_slower(speedups: Sequence[float], limit: float) -> bool:
    num_slower = sum(speedup < limit for speedup in speedups)
    return num_slower >= _SHARE_OF_ROUNDS * len(speedups)
