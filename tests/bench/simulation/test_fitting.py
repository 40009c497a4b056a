"""Fitting: known times are recovered from what they would make a server take."""

import numpy as np
import pytest

from bench.simulation.fitting import (
    MeasuredBatch,
    MeasuredLoad,
    fit_batches,
    fit_loop,
    relative_error,
)
from bench.simulation.service_times import BatchTimes

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
