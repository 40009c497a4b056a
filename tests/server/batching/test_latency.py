import logging
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from prefixes.backbone import Backbone
from prefixes.registry import open_registry
from server.batching.latency import TrialBatches, largest_within, limits_within
from server.batching.scheduler import BatchLimits
from server.engine.engine import Engine
from server.engine.options import EngineLimits
from tests.server.doubles import RecordingMetrics

Curve = Callable[[int], float]


def line(num_tokens: int) -> float:
    """A device that takes 1 ms for any batch and 10 us for each token."""
    return 0.001 + num_tokens * 1e-5


def steps(num_tokens: int) -> float:
    """A device that processes tokens in blocks of 100."""
    return 0.001 + -(-num_tokens // 100) * 1e-3


def curve(num_tokens: int) -> float:
    """A device whose time grows with the square of the tokens."""
    return 0.001 + num_tokens**2 * 1e-8


class Recorder:
    """A device with this cost, which records the batches that it ran."""

    def __init__(self, cost: Curve) -> None:
        self._cost = cost
        self.num_tokens: list[int] = []

    def __call__(self, num_tokens: int) -> float:
        self.num_tokens.append(num_tokens)
        return self._cost(num_tokens)

    @property
    def seconds(self) -> float:
        return sum(self._cost(num_tokens) for num_tokens in self.num_tokens)


@pytest.mark.parametrize("cost", [line, steps, curve])
@pytest.mark.parametrize("max_seconds", [0.0025, 0.004, 0.0101])
def test_the_largest_batch_that_keeps_the_bound_is_found_within_a_tenth(
    cost: Curve, max_seconds: float
) -> None:
    best = max(n for n in range(16, 4097) if cost(n) <= max_seconds)
    found = largest_within(cost, max_seconds, 4096)
    assert best / 1.1 - 1 <= found.num_tokens <= best
    assert found.seconds == cost(found.num_tokens)


def test_the_operators_limit_is_never_exceeded_even_by_trials() -> None:
    device = Recorder(line)
    assert largest_within(device, 1.0, 100).num_tokens == 100
    assert max(device.num_tokens) == 100


def test_rounds_that_another_program_disturbs_do_not_count() -> None:
    number = count()

    def disturbed(num_tokens: int) -> float:
        return line(num_tokens) * (20 if next(number) % 3 == 0 else 1)

    assert largest_within(disturbed, 0.004, 4096) == largest_within(line, 0.004, 4096)


def test_the_smallest_batch_is_the_result_even_if_it_takes_too_long() -> None:
    found = largest_within(line, 0.0005, 4096)
    assert (found.num_tokens, found.seconds) == (16, line(16))


def test_the_search_is_short_on_a_slow_device_and_its_result_keeps_the_bound() -> None:
    device = Recorder(lambda num_tokens: 0.1 * line(1) + num_tokens * 1e-3)
    found = largest_within(device, 2.0, 4096)
    assert device.seconds < 2
    assert max(device.num_tokens) < found.num_tokens <= 2000


def test_a_device_that_takes_no_time_gets_the_operators_limit() -> None:
    assert largest_within(lambda _: 0.0, 0.001, 4096).num_tokens == 4096


def test_the_target_leaves_time_for_two_and_a_half_batches() -> None:
    limits = limits_within(BatchLimits(4096, max_rows=7), 0.01, line)
    assert 2.5 * line(limits.max_tokens) <= 0.01 < 2.5 * 1.1 * line(limits.max_tokens)
    assert limits.max_rows == 7


def test_the_result_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        limits = limits_within(BatchLimits(4096, 256), 0.008, line)
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO"]
    assert f"at most {limits.max_tokens} tokens" in caplog.messages[1]


def test_a_target_that_no_batch_meets_is_logged_with_one_that_can_be_met(
    caplog: pytest.LogCaptureFixture,
) -> None:
    limits = limits_within(BatchLimits(4096, 256), 0.002, line)
    assert limits.max_tokens == 16
    (message,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert "target latency of 2 ms cannot be met" in message
    assert "16 tokens takes 1.16 ms" in message
    assert "target_latency_ms to 2.9 or more" in message


def test_trial_batches_run_on_the_backbone_with_any_number_of_tokens(backbone: Backbone) -> None:
    pool = backbone.empty_pool(4)  # fewer slots than a usual prefix has
    trials = TrialBatches(backbone, pool)
    assert all(trials(num_tokens) > 0 for num_tokens in (1, 16, 150))


def engine_with(
    folder: Path, backbone: Backbone, target_seconds: float | None, metrics: RecordingMetrics
) -> Engine:
    limits = EngineLimits(max_batch_tokens=48, resident_bytes=2**18, target_seconds=target_seconds)
    return Engine(backbone, open_registry(folder), limits, metrics)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("target_seconds", "max_batch_tokens"), [(None, 48), (1000.0, 48), (1e-9, 16)]
)
async def test_an_engine_with_a_target_uses_the_result_of_the_trials(
    tmp_path: Path,
    backbone: Backbone,
    metrics: RecordingMetrics,
    target_seconds: float | None,
    max_batch_tokens: int,
) -> None:
    engine = engine_with(tmp_path, backbone, target_seconds, metrics)
    assert engine.max_batch_tokens == 48
    await engine.start()
    assert engine.max_batch_tokens == max_batch_tokens
    assert metrics.batches == []  # trials do not count as traffic
    await engine.stop()
