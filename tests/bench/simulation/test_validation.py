"""Validation: the ratios of simulated to real figures, over the runs of each load."""

import numpy as np
import pytest

from bench.simulation.results import Estimate
from bench.simulation.validation import Comparison, Figures, ratios, with_client
from tests.bench.simulation.scenarios import TIMES


def test_ratios_are_taken_run_by_run() -> None:
    comparisons = [
        Comparison(
            0.5,
            seed,
            100,
            0.001,
            0.0,
            Figures(10, 0.5, real, 0.4, 0.01, 4.0),
            Figures(10, 0.6, 0.2, 0.4, 0.01, 4.0),
        )
        for seed, real in enumerate((0.1, 0.2, 0.4))
    ]
    found = ratios(comparisons)[0.5]
    assert found["throughput"] == Estimate(1.0, 0.0)
    assert found["hits"].mean == pytest.approx(1.2)
    assert found["p50"].mean == pytest.approx((2 + 1 + 0.5) / 3)
    assert found["p50"].error > 0


def test_an_interval_covers_the_mean_in_most_experiments() -> None:
    rng = np.random.default_rng(0)
    estimates = [Estimate.of(rng.normal(5.0, 2.0, 4).tolist()) for _ in range(2000)]
    covered = np.mean([abs(one.mean - 5.0) <= one.error for one in estimates])
    assert covered == pytest.approx(0.95, abs=0.02)


def test_the_client_takes_time_of_the_cores_of_the_servers() -> None:
    shared = with_client(TIMES).loop
    assert shared.request + shared.response == pytest.approx(
        TIMES.loop.request + TIMES.loop.response + TIMES.client
    )
