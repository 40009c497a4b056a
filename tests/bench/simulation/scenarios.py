"""Clusters and traffic that the tests of the simulation share."""

import numpy as np

from bench.simulation.cluster import Cluster
from bench.simulation.incidents import Incident
from bench.simulation.replica import ReplicaLimits
from bench.simulation.results import Run
from bench.simulation.routers import ROUTERS
from bench.simulation.service_times import BatchTimes, LoadTimes, LoopTimes, ServiceTimes
from bench.simulation.steady_state import fill
from bench.simulation.traffic import Popularity, Shift, draw_traffic

TIMES = ServiceTimes(
    BatchTimes(0.002, 0.0005, 0.0001, spread=(0.9, 1.0, 1.3)),
    LoopTimes(0.0004, 0.0003, shares_core=True),
    LoadTimes(store=0.003, device=0.001, store_cpu=0.001, device_cpu=0.001),
    prefix_bytes=1000,
    lengths=(14, 20, 26),
)
TASKS = Popularity(5000, 1.0)
LIMITS = ReplicaLimits(device_bytes=100_000, host_bytes=200_000)


def simulate(
    router: str = "affinity",
    *,
    num_replicas: int = 4,
    rate: float = 600.0,
    seconds: float = 10.0,
    seed: int = 0,
    times: ServiceTimes = TIMES,
    limits: ReplicaLimits = LIMITS,
    popularity: Popularity = TASKS,
    incidents: tuple[Incident, ...] = (),
    shift: Shift | None = None,
    is_filled: bool = True,
) -> Run:
    rng = np.random.default_rng(seed)
    traffic = draw_traffic(
        popularity, rate=rate, seconds=seconds, lengths=times.lengths, rng=rng, shift=shift
    )
    cluster = Cluster(num_replicas, times, limits, ROUTERS[router](seed), rng=rng)
    if is_filled:
        fill(
            cluster.replicas,
            popularity,
            ROUTERS[router](seed),
            prefix_bytes=times.prefix_bytes,
            rng=rng,
        )
    return cluster.run(traffic, incidents)
