"""Steady state: what replicas have in memory after long traffic, without simulating it.

Requests to a task are a Poisson process. The age of its last request is then exponential, and a
cache that evicts the least recently used holds the tasks with the lowest ages. This is exact for
one cache. Che, Tung and Wang (2002) approximate its hit rate.
"""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq

from bench.simulation.replica import Replica
from bench.simulation.routers import Router, StickyRouter
from bench.simulation.traffic import Floats, Integers, Popularity

_MARGIN = 1.5
"""How many tasks are distributed, over the number that fits if homes were perfectly balanced."""


def fill(
    replicas: Sequence[Replica],
    popularity: Popularity,
    router: Router,
    *,
    prefix_bytes: int,
    rng: np.random.Generator,
) -> None:
    """Fill the memory of replicas as after long traffic."""
    budget = max(one.device.budget_bytes + one.host.budget_bytes for one in replicas)
    slots = budget // prefix_bytes
    shares = popularity.shares
    if not isinstance(router, StickyRouter):
        for replica in replicas:
            _fill(replica, _recent(shares, slots, rng), prefix_bytes)
        return
    recent = _recent(shares, int(_MARGIN * slots * len(replicas)), rng)
    numbers = [replica.number for replica in replicas]
    homes: dict[int, list[int]] = {number: [] for number in numbers}
    for task in recent.tolist():
        homes[router.home(task, numbers)].append(task)
    for replica in replicas:
        _fill(replica, homes[replica.number], prefix_bytes)


def _fill(replica: Replica, recent: Integers | Sequence[int], prefix_bytes: int) -> None:
    tasks = list(map(int, recent))
    replica.device.fill(tasks, prefix_bytes)
    for task in reversed(tasks[len(replica.device) :]):
        replica.host.add(task, prefix_bytes)


def _recent(shares: Floats, count: int, rng: np.random.Generator) -> Integers:
    """Draw the tasks that were requested last, the most recent first."""
    ages = rng.standard_exponential(len(shares)) / shares
    if count < len(ages):
        nearest = np.argpartition(ages, count)[:count]
        return nearest[np.argsort(ages[nearest])]
    return np.argsort(ages)


def lru_hit_rate(shares: Floats, num_cached: float) -> float:
    """Approximate the hit rate of a cache for `num_cached` tasks with these shares of requests."""
    if num_cached >= len(shares):
        return 1.0

    def excess(log_age: float) -> float:
        return float(-np.expm1(-shares * np.exp(log_age)).sum() - num_cached)

    age = np.exp(brentq(excess, -5.0, 60.0))
    return float((shares * -np.expm1(-shares * age)).sum())
