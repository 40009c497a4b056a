"""Clusters: every request is answered once, runs repeat, and incidents lose nothing."""

import numpy as np
import pytest

from bench.simulation.incidents import Addition, Crash, rolling_additions
from bench.simulation.replica import Level
from bench.simulation.routers import ROUTERS
from bench.simulation.traffic import Popularity, Shift
from tests.bench.simulation.scenarios import TIMES, simulate


@pytest.mark.parametrize("router", ROUTERS)
def test_every_request_is_answered_once(router: str) -> None:
    run = simulate(router)
    assert np.isfinite(run.latencies).all()
    assert (run.latencies > 0).all()
    assert set(np.unique(run.replicas)) <= set(range(4))
    assert (run.levels >= 0).all()


@pytest.mark.parametrize("router", ROUTERS)
def test_a_seed_determines_a_run(router: str) -> None:
    one, again, other = (simulate(router, seconds=3.0, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.latencies, again.latencies)
    assert np.array_equal(one.replicas, again.replicas)
    assert len(one.latencies) != len(other.latencies)


def test_no_latency_is_shorter_than_the_work_on_a_request() -> None:
    run = simulate(rate=50.0)
    batch, loop = TIMES.batch, TIMES.loop
    least = loop.request + loop.response + batch.seconds(1, 14) * min(batch.spread)
    assert run.latencies.min() >= least * (1 - 1e-9)


@pytest.mark.parametrize("router", ROUTERS)
def test_a_crash_loses_no_request(router: str) -> None:
    crash = Crash(at=4.0, replica=1, notice_seconds=0.5, restart_seconds=2.0)
    run = simulate(router, incidents=(crash,))
    assert np.isfinite(run.latencies).all()
    assert run.num_retries > 0
    after = run.arrivals > 4.5
    assert 1 not in run.replicas[after]
    assert 4 in run.replicas[run.arrivals > 6.0]


def test_requests_that_a_crashed_replica_gets_wait_until_the_router_notices() -> None:
    crash = Crash(at=4.0, replica=1, notice_seconds=1.0)
    run = simulate("round robin", incidents=(crash,))
    lost = (run.arrivals > 4.05) & (run.arrivals < 4.1) & (run.latencies > 0.5)
    assert lost.any()
    assert (run.arrivals[lost] + run.latencies[lost] >= 5.0).all()


@pytest.mark.parametrize("router", ROUTERS)
def test_added_replicas_get_requests(router: str) -> None:
    run = simulate(router, incidents=(Addition(3.0), *rolling_additions(5.0, 2, 1.0)))
    assert set(run.replicas[run.arrivals > 7.0]) == set(range(7))
    assert run.replicas[run.arrivals < 3.0].max() == 3


def test_a_shift_of_popularity_costs_hits_for_a_while() -> None:
    shift = Shift(at=5.0, num_tasks=500)
    run = simulate(shift=shift, popularity=Popularity(50_000, 1.1), rate=800.0)
    windows = {window["at"]: window["device_hits"] for window in run.windows(1.0)}
    assert windows[5.0] < windows[4.0] - 0.05
    assert windows[9.0] > windows[5.0]


def test_requests_for_a_prefix_that_is_being_loaded_share_the_load() -> None:
    run = simulate(num_replicas=1, popularity=Popularity(1, 0.0), is_filled=False)
    assert np.count_nonzero(run.levels == Level.STORE) == 1
    assert np.count_nonzero(run.levels == Level.HOST) == 0
    summary = run.summary()
    assert summary.loads == pytest.approx(1 / summary.num_requests)


def test_affinity_loads_fewer_prefixes_than_routers_without_it() -> None:
    hits = {router: simulate(router).summary().device_hits for router in ROUTERS}
    for other in ("shortest queue", "power of two", "round robin", "random"):
        assert hits["affinity"] > hits[other] + 0.1
