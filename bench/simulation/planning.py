"""Planning: how many replicas, and which hits, for a number of tasks and a rate of requests.

The hits are those of caches that evict the least recently used (`lru_hit_rate`). With affinity, the
memories of all replicas together are one such cache; with other routers, each has its own.
"""

import bisect
import math
from dataclasses import dataclass
from typing import Final

from bench.simulation.service_times import BATCH_ROWS, ServiceTimes
from bench.simulation.steady_state import lru_hit_rate
from bench.simulation.traffic import Popularity

_MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class Demand:
    """The traffic to plan for, the memory of a replica, and the highest load that is acceptable."""

    popularity: Popularity
    rate: float
    device_mib: int
    max_load: float = 0.6


@dataclass(frozen=True, slots=True)
class Capacity:
    """Replicas for a demand. The hits and bytes from the store are with and without affinity."""

    num_replicas: int
    hits: float
    hits_elsewhere: float
    store_bytes_per_second: float
    store_bytes_per_second_elsewhere: float


def plan_capacity(demand: Demand, times: ServiceTimes) -> Capacity:
    """Plan the fewest replicas like the one whose times were measured.

    A load costs a replica CPU time, so the number of replicas depends on the hits, and the hits on
    the memory of all replicas.
    """
    shares = demand.popularity.shares
    slots = demand.device_mib * _MIB // times.prefix_bytes

    def needed(count: int) -> int:
        """Return the replicas for the hits that `count` of them would have. More need fewer."""
        loads = (1 - lru_hit_rate(shares, slots * count)) * _load_cpu(times)
        seconds = 1 / times.capacity(BATCH_ROWS) + loads
        return max(1, math.ceil(demand.rate * seconds / demand.max_load))

    counts = range(1, needed(1) + 1)
    count = counts[bisect.bisect_left(counts, True, key=lambda each: needed(each) <= each)]
    hits, elsewhere = lru_hit_rate(shares, slots * count), lru_hit_rate(shares, slots)
    per_miss = demand.rate * times.prefix_bytes
    return Capacity(count, hits, elsewhere, (1 - hits) * per_miss, (1 - elsewhere) * per_miss)


def _load_cpu(times: ServiceTimes) -> float:
    shares_core = times.loop.shares_core
    return times.load.store_cpu + times.load.device_cpu if shares_core else 0.0
