"""Planning: replicas and hits for a demand."""

import pytest

from bench.simulation.planning import Demand, plan_capacity
from bench.simulation.service_times import BATCH_ROWS
from bench.simulation.traffic import Popularity
from tests.bench.simulation.scenarios import TIMES


def demand(rate: float, *, num_tasks: int = 100_000, device_mib: int = 1) -> Demand:
    return Demand(Popularity(num_tasks, 1.0), rate, device_mib)


def test_the_replicas_stay_below_the_load_that_is_acceptable() -> None:
    planned = plan_capacity(demand(3000.0), TIMES)
    load_cpu = (1 - planned.hits) * (TIMES.load.store_cpu + TIMES.load.device_cpu)
    load = 3000.0 * (1 / TIMES.capacity(BATCH_ROWS) + load_cpu) / planned.num_replicas
    assert 0.5 < load <= 0.6


def test_affinity_adds_the_memories_of_all_replicas() -> None:
    planned = plan_capacity(demand(3000.0), TIMES)
    assert planned.hits > planned.hits_elsewhere + 0.1
    assert planned.store_bytes_per_second == pytest.approx(
        (1 - planned.hits) * 3000.0 * TIMES.prefix_bytes
    )


def test_one_replica_serves_a_small_demand_without_loads() -> None:
    planned = plan_capacity(demand(1.0, num_tasks=500), TIMES)
    assert planned.num_replicas == 1
    assert planned.hits == planned.hits_elsewhere == 1.0
