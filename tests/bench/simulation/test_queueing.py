"""The simulation agrees with closed formulas of queueing theory."""

import numpy as np
import pytest

from bench.simulation.replica import ReplicaLimits
from bench.simulation.service_times import BatchTimes, LoopTimes, ServiceTimes
from bench.simulation.traffic import Popularity
from tests.bench.simulation.scenarios import simulate

ONE_TASK = Popularity(1, 0.0)
ONE_AT_A_TIME = ReplicaLimits(device_bytes=10, max_rows=1)
SERVICE = 0.01


def mean_latency(times: ServiceTimes, load: float, num_replicas: int = 1) -> float:
    run = simulate(
        "random",
        num_replicas=num_replicas,
        times=times,
        limits=ONE_AT_A_TIME,
        popularity=ONE_TASK,
        rate=num_replicas * load / SERVICE,
        seconds=600.0,
    )
    return run.summary(warm_up=10.0).mean


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_constant_times_give_the_waiting_time_of_an_m_d_1_queue(load: float) -> None:
    waiting = load * SERVICE / (2 * (1 - load))
    assert mean_latency(ServiceTimes(BatchTimes(SERVICE)), load) == pytest.approx(
        SERVICE + waiting, rel=0.05
    )


@pytest.mark.parametrize("load", [0.3, 0.6])
def test_exponential_times_give_the_latency_of_an_m_m_1_queue(load: float) -> None:
    steps = np.linspace(0.0, 1.0, 2001)[:-1] + 1 / 4000
    spread = -np.log1p(-steps)  # quantiles of the exponential distribution
    times = ServiceTimes(BatchTimes(SERVICE, spread=tuple(spread / spread.mean())))
    assert mean_latency(times, load) == pytest.approx(SERVICE / (1 - load), rel=0.08)


def test_random_routing_splits_a_poisson_process_into_independent_ones() -> None:
    load = 0.6
    expected = SERVICE + load * SERVICE / (2 * (1 - load))
    times = ServiceTimes(BatchTimes(SERVICE))
    assert mean_latency(times, load, num_replicas=5) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("router", ["affinity", "shortest queue", "random"])
def test_littles_law_holds(router: str) -> None:
    run = simulate(router, rate=900.0, seconds=20.0)
    horizon = np.linspace(5.0, 19.0, 4001)
    leaves = np.sort(run.arrivals + run.latencies)
    inside = np.searchsorted(run.arrivals, horizon) - np.searchsorted(leaves, horizon)
    counted = (run.arrivals >= 5.0) & (run.arrivals <= 19.0)
    rate = counted.sum() / 14.0
    assert inside.mean() == pytest.approx(rate * run.latencies[counted].mean(), rel=0.05)


def test_batches_keep_up_where_single_texts_would_not() -> None:
    times = ServiceTimes(BatchTimes(fixed=SERVICE, per_row=0.001))
    run = simulate(
        "random", num_replicas=1, times=times, popularity=ONE_TASK, rate=300.0, seconds=60.0
    )
    assert run.summary(warm_up=5.0).p99 < 5 * SERVICE


def test_the_event_loop_delays_batches_only_if_it_shares_their_core() -> None:
    batch = BatchTimes(0.01)
    means = [
        simulate(
            "random",
            num_replicas=1,
            times=ServiceTimes(batch, LoopTimes(0.002, 0.002, shares_core=shares)),
            limits=ONE_AT_A_TIME,
            popularity=ONE_TASK,
            rate=50.0,
            seconds=100.0,
        )
        .summary()
        .mean
        for shares in (False, True)
    ]
    assert means[0] < means[1]
