"""Scenarios: clusters, traffic and incidents to simulate, and the experiments made of them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

import numpy as np

from bench.simulation.cluster import Cluster
from bench.simulation.incidents import Crash, Incident, rolling_additions
from bench.simulation.replica import ReplicaLimits
from bench.simulation.results import Run
from bench.simulation.routers import ROUTERS
from bench.simulation.service_times import BATCH_ROWS, ServiceTimes
from bench.simulation.steady_state import fill
from bench.simulation.traffic import Popularity, Shift, Traffic, draw_traffic

_MIB: Final = 2**20
_INCIDENT_AT: Final = 3.0
_SHIFTED_TASKS: Final = 1000
_ADDED_SHARE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Scenario:
    """One simulation. `load` is the share of the replicas' capacity that is in use.

    `store_ms` is what a read from the store takes in addition to one from the disk.
    """

    router: str
    load: float
    seed: int
    num_replicas: int = 100
    num_tasks: int = 1_000_000
    exponent: float = 1.0
    device_mib: int = 256
    host_mib: int = 0
    store_ms: float = 30.0
    seconds: float = 4.0
    warm_up: float = 1.0
    incident: str = "none"

    def run(self, times: ServiceTimes) -> Run:
        """Simulate it. The seed determines the result."""
        rng = np.random.default_rng(self.seed)
        popularity = Popularity(self.num_tasks, self.exponent)
        times = replace(times, load=times.load.with_cold_files(self.store_ms / 1000))
        limits = ReplicaLimits(self.device_mib * _MIB, self.host_mib * _MIB)
        router = ROUTERS[self.router](self.seed)
        traffic = self._traffic(times, popularity, rng)
        cluster = Cluster(self.num_replicas, times, limits, router, rng=rng)
        fill(cluster.replicas, popularity, router, prefix_bytes=times.prefix_bytes, rng=rng)
        return cluster.run(traffic, INCIDENTS[self.incident](self.num_replicas))

    def _traffic(
        self, times: ServiceTimes, popularity: Popularity, rng: np.random.Generator
    ) -> Traffic:
        shift = Shift(_INCIDENT_AT, _SHIFTED_TASKS) if self.incident == "shift" else None
        return draw_traffic(
            popularity,
            rate=self.load * self.num_replicas * times.capacity(BATCH_ROWS),
            seconds=self.seconds,
            lengths=times.lengths,
            rng=rng,
            shift=shift,
        )


def _crash(_: int) -> tuple[Incident, ...]:
    return (Crash(_INCIDENT_AT, replica=0, notice_seconds=1.0, restart_seconds=4.0),)


def _additions(num_replicas: int) -> tuple[Incident, ...]:
    return rolling_additions(_INCIDENT_AT, max(1, round(_ADDED_SHARE * num_replicas)), every=0.5)


INCIDENTS: Final[Mapping[str, Callable[[int], tuple[Incident, ...]]]] = {
    "none": lambda _: (),
    "crash": _crash,
    "additions": _additions,
    "shift": lambda _: (),
}
"""The incidents of a number of replicas. A shift of popularity is part of the traffic."""


def _loads(seed: int) -> Iterator[Scenario]:
    for load, router in product((0.3, 0.6, 0.9), ROUTERS):
        if not router.startswith("affinity, "):
            yield Scenario(router, load, seed)


def _slack(seed: int) -> Iterator[Scenario]:
    for router in ROUTERS:
        if router.startswith("affinity"):
            yield Scenario(router, 0.6, seed)


def _exponents(seed: int) -> Iterator[Scenario]:
    for exponent, router in product((0.8, 1.2), ("affinity", "power of two")):
        yield Scenario(router, 0.6, seed, exponent=exponent)


def _incidents(seed: int) -> Iterator[Scenario]:
    routers = ("affinity", "bounded hash", "shortest queue")
    for incident, router in product(("crash", "additions", "shift"), routers):
        yield Scenario(router, 0.6, seed, num_replicas=50, seconds=10.0, incident=incident)


EXPERIMENTS: Final[Mapping[str, Callable[[int], Iterator[Scenario]]]] = {
    "loads": _loads,
    "slack": _slack,
    "exponents": _exponents,
    "incidents": _incidents,
}
"""The scenarios of each experiment for a seed."""
