"""The number of replicas for a number of queued tokens."""

from dataclasses import dataclass

import pytest

from server.hosting.ray.autoscaling import QueuedTokens


@dataclass
class Context:
    aggregated_metrics: dict[str, dict[object, float]] | None
    total_num_requests: float
    target_num_replicas: int
    capacity_adjusted_min_replicas: int = 1
    capacity_adjusted_max_replicas: int = 4


@pytest.mark.parametrize(
    ("queued", "requests", "now", "expected"),
    [
        ([0, 0], 0, 2, 1),  # idle
        ([0, 0], 3, 2, 2),  # busy, but fast enough
        ([5000, 4000], 9, 2, 3),
        ([90_000], 9, 1, 4),  # the maximum
        ([0], 0, 1, 1),  # the minimum
    ],
)
def test_replicas_follow_the_queues(
    queued: list[float], requests: float, now: int, expected: int
) -> None:
    context = Context({"queued_tokens": dict(enumerate(queued))}, requests, now)

    assert QueuedTokens(4096)(context) == (expected, {})


def test_a_new_replica_that_reports_nothing_yet_is_kept() -> None:
    assert QueuedTokens(4096)(Context(None, 3, 2)) == (2, {})
