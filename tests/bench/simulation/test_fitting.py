"""Fitting: known times are recovered from what they would make a server take."""

import numpy as np
import pytest

from bench.simulation.fitting import (
    MeasuredBatch,
    MeasuredLoad,
    fit_batches,
    fit_load,
    fit_loop,
    relative_error,
)
from bench.simulation.service_times import BatchTimes, LoadTimes

KNOWN = BatchTimes(0.004, 0.0005, 0.0003)


def batches(noise: float) -> list[MeasuredBatch]:
    rng = np.random.default_rng(0)
    sizes = [(int(rows), int(rows * rng.integers(5, 60))) for rows in rng.integers(1, 33, 400)]
    factors = rng.uniform(1 - noise, 1 + noise, len(sizes))
    return [
        MeasuredBatch(rows, tokens, KNOWN.seconds(rows, tokens) * factor)
        for (rows, tokens), factor in zip(sizes, factors, strict=True)
    ]


def test_the_times_of_batches_are_recovered() -> None:
    fitted = fit_batches(batches(noise=0.05))
    for rows, tokens in ((1, 10), (8, 200), (32, 900)):
        assert fitted.seconds(rows, tokens) == pytest.approx(KNOWN.seconds(rows, tokens), rel=0.02)
    assert fitted.spread[0] == pytest.approx(0.95, abs=0.02)
    assert fitted.spread[-1] == pytest.approx(1.05, abs=0.02)
    assert relative_error(batches(noise=0.0), fitted) < 0.02


def test_the_times_of_the_event_loop_are_recovered() -> None:
    loads = [
        MeasuredLoad(
            count,
            num_batches,
            count,
            20 * count,
            cpu=num_batches * (KNOWN.fixed + 0.003)
            + count * (KNOWN.per_row + 20 * KNOWN.per_token + 0.0015),
        )
        for count, num_batches in ((50, 48), (300, 150), (700, 120))
    ]
    assert fit_loop(loads, KNOWN) == pytest.approx((0.0015, 0.003), rel=1e-6)


def used_by(num_loads: int, cpu_of_load: float) -> MeasuredLoad:
    """Return the totals of 300 requests of 20 tokens in 150 batches."""
    batches = 150 * KNOWN.fixed + 300 * (KNOWN.per_row + 20 * KNOWN.per_token)
    cpu = batches + 300 * 0.0015 + num_loads * cpu_of_load
    return MeasuredLoad(
        300, 150, 300, 6000, cpu=cpu, loads=num_loads, load_seconds=0.005 * num_loads
    )


def test_the_times_of_loads_in_a_server_are_recovered() -> None:
    alone = LoadTimes(store=0.002, device=0.001, store_cpu=0.0005, device_cpu=0.0005, disk=0.01)
    fitted = fit_load(used_by(200, 0.0025), KNOWN, 0.0015, alone)
    assert fitted.store + fitted.device == pytest.approx(0.005)
    assert fitted.store_cpu + fitted.device_cpu == pytest.approx(0.0025)
    assert (fitted.device, fitted.device_cpu, fitted.disk) == (0.001, 0.0005, 0.01)


def test_a_load_in_a_server_takes_no_less_than_alone() -> None:
    alone = LoadTimes(store=0.004, device=0.002, store_cpu=0.002, device_cpu=0.001)
    assert fit_load(used_by(200, 0.0025), KNOWN, 0.0015, alone) == alone
