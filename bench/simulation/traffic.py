"""Traffic: Poisson arrivals of requests to tasks whose popularity follows Zipf's law."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Popularity:
    """The share of requests of each task: that at rank r has the weight `r ** -exponent`."""

    num_tasks: int
    exponent: float

    @property
    def shares(self) -> Floats:
        """The share of each task, the most popular first. They add up to 1."""
        weights = np.arange(1, self.num_tasks + 1, dtype=np.float64) ** -self.exponent
        return weights / weights.sum()

    def draw(self, count: int, rng: np.random.Generator) -> Integers:
        """Draw the tasks of `count` requests."""
        cumulative = np.cumsum(self.shares)
        places = np.searchsorted(cumulative, rng.random(count), side="right")
        return np.minimum(places, self.num_tasks - 1)


@dataclass(frozen=True, slots=True)
class Shift:
    """A change of popularity: from a time on, the first tasks swap theirs with rare ones."""

    at: float
    num_tasks: int

    def applied(self, arrivals: Floats, tasks: Integers, num_tasks: int) -> Integers:
        """Return the tasks of all requests, those after the change by the new popularity."""
        numbers = np.arange(num_tasks)
        some = min(self.num_tasks, num_tasks // 2)
        numbers[:some], numbers[-some:] = numbers[-some:].copy(), numbers[:some].copy()
        return np.where(arrivals < self.at, tasks, numbers[tasks])


@dataclass(frozen=True, slots=True, eq=False)
class Traffic:
    """Requests by time of arrival in seconds, each with its task and its number of tokens."""

    arrivals: Floats
    tasks: Integers
    tokens: Integers

    def __len__(self) -> int:
        return len(self.arrivals)


def draw_traffic(
    popularity: Popularity,
    *,
    rate: float,
    seconds: float,
    lengths: Sequence[int],
    rng: np.random.Generator,
    shift: Shift | None = None,
) -> Traffic:
    """Draw the requests of some seconds.

    Args:
        popularity: decides the task of each request.
        rate: mean number of requests per second.
        seconds: time in which requests arrive.
        lengths: numbers of tokens, of which each request gets one at random.
        rng: the source of randomness.
        shift: changes the popularity meanwhile.
    """
    count = rng.poisson(rate * seconds)
    arrivals = np.sort(rng.uniform(0.0, seconds, count))
    tasks = popularity.draw(count, rng)
    if shift is not None:
        tasks = shift.applied(arrivals, tasks, popularity.num_tasks)
    return Traffic(arrivals, tasks, rng.choice(np.asarray(lengths, dtype=np.int64), count))
