"""Memory of simulated replicas: leases, eviction, and hit rates against Che's approximation."""

from functools import partial

import numpy as np
import pytest

from bench.simulation.memory import DeviceMemory, HostMemory
from bench.simulation.steady_state import lru_hit_rate
from bench.simulation.traffic import Popularity
from tests.bench.simulation.scenarios import LIMITS, TIMES, simulate


def test_the_least_recently_used_prefix_without_a_lease_is_evicted() -> None:
    memory = DeviceMemory(30)
    for task in (1, 2, 3):
        assert memory.add(task, 10)
    memory.lease(1)
    memory.lease(2)
    memory.release(2)
    assert memory.add(4, 10)
    assert memory.add(5, 10)
    assert [task in memory for task in (1, 2, 3, 4, 5)] == [True, False, False, True, True]
    assert memory.num_evicted == 2


def test_a_prefix_waits_while_all_others_are_leased() -> None:
    memory = DeviceMemory(10)
    assert memory.add(1, 10)
    memory.lease(1)
    assert not memory.add(2, 10)
    memory.release(1)
    assert memory.add(2, 10)
    assert memory.used_bytes == 10


def test_host_memory_evicts_by_bytes_and_ignores_what_never_fits() -> None:
    memory = HostMemory(30)
    memory.add(1, 20)
    memory.add(2, 10)
    memory.add(3, 40)
    assert memory.use(1)
    memory.add(4, 10)
    assert [task in memory for task in (1, 2, 3, 4)] == [True, False, False, True]
    assert memory.used_bytes == 30


def test_memory_is_filled_up_to_its_budget_most_recent_first() -> None:
    memory = DeviceMemory(35)
    memory.fill([7, 8, 9, 10], 10)
    assert [task in memory for task in (7, 8, 9, 10)] == [True, True, True, False]
    memory.add(11, 10)
    assert 9 not in memory


@pytest.mark.parametrize("exponent", [0.7, 1.0, 1.2])
def test_hits_of_independent_replicas_are_those_of_ches_approximation(exponent: float) -> None:
    popularity = Popularity(3000, exponent)
    run = simulate("random", popularity=popularity, rate=400.0, seconds=60.0)
    expected = lru_hit_rate(popularity.shares, LIMITS.device_bytes // TIMES.prefix_bytes)
    assert run.summary().device_hits == pytest.approx(expected, abs=0.015)


@pytest.mark.parametrize("router", ["affinity", "bounded hash", "random"])
def test_filled_memory_is_that_of_long_traffic(router: str) -> None:
    run = partial(simulate, router, popularity=Popularity(2000, 0.8), rate=200.0)
    filled = run(seconds=20.0).summary()
    warmed_up = run(seconds=100.0, is_filled=False).summary(warm_up=80.0)
    assert filled.device_hits == pytest.approx(warmed_up.device_hits, abs=0.03)


def test_ches_approximation_has_the_known_limits() -> None:
    shares = Popularity(1000, 0.0).shares
    assert lru_hit_rate(shares, 250) == pytest.approx(0.25, abs=1e-3)
    assert lru_hit_rate(shares, 1000) == 1.0
    assert np.isclose(Popularity(1000, 1.1).shares.sum(), 1.0)
