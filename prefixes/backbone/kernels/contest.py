"""Contests: the candidates of one operation, and the rule that picks one by its figures."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

Call = Callable[[], Sequence[Tensor]]
"""Runs one workload once, and returns its results."""


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
    workloads, as a geometric mean, and at least `min_speedup_at_worst` times as fast at each one.

    `tolerance` is the largest difference from the results of the reference, relative to their
    largest magnitude; infinity for number types, whose results differ. `seconds` limits the
    time of the measurement. Calls that have begun, and the first call of each, are completed.
    """

    operation: str
    workloads: Sequence[Workload]
    candidates: Sequence[Candidate]
    tolerance: float
    seconds: float
    min_speedup: float = 1.05
    min_speedup_at_worst: float = 0.95

    @property
    def reference(self) -> str:
        return self.candidates[0].name


@dataclass(frozen=True, slots=True)
class Figures:
    """The results of a measurement.

    `seconds` are the shortest times of each candidate, by workload. `excluded` are the reasons why
    other candidates were not measured.
    """

    seconds: Mapping[str, Sequence[float]]
    excluded: Mapping[str, str]


def pick(contest: Contest, seconds: Mapping[str, Sequence[float]]) -> str:
    """Return the name of the fastest candidate, or of the reference unless it is clearly slower."""
    reference = seconds[contest.reference]
    best, best_mean = contest.reference, contest.min_speedup
    for name, own in seconds.items():
        speedups = [theirs / ours for theirs, ours in zip(reference, own, strict=True)]
        mean = math.prod(speedups) ** (1 / len(speedups))
        if mean >= best_mean and min(speedups) >= contest.min_speedup_at_worst:
            best, best_mean = name, mean
    return best
