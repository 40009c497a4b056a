"""The autoscaling policy of the engine: by the number of queued tokens."""

import math
from typing import Any, Protocol


class _Context(Protocol):
    """The members of Ray's `AutoscalingContext` that the policy reads."""

    @property
    def aggregated_metrics(self) -> dict[str, dict[Any, float]] | None: ...
    @property
    def total_num_requests(self) -> float: ...
    @property
    def target_num_replicas(self) -> int: ...
    @property
    def capacity_adjusted_min_replicas(self) -> int: ...
    @property
    def capacity_adjusted_max_replicas(self) -> int: ...


class QueuedTokens:
    """Decides how many replicas there should be. The controller of Ray Serve calls it.

    A replica is added when the queues are longer than the target. One is removed when no request is
    in flight: a busy replica with an empty queue may be exactly as fast as its requests arrive.
    """

    def __init__(self, target_tokens: int) -> None:
        self._target_tokens = target_tokens

    def __call__(self, context: _Context) -> tuple[int, dict[str, Any]]:
        """Return the number of replicas, and no state."""
        reported = (context.aggregated_metrics or {}).get("queued_tokens", {})
        wanted = self._wanted(
            sum(reported.values()), context.total_num_requests, context.target_num_replicas
        )
        lowest, highest = (
            context.capacity_adjusted_min_replicas,
            context.capacity_adjusted_max_replicas,
        )
        return min(max(wanted, lowest), highest), {}

    def _wanted(self, num_tokens: float, num_requests: float, num_replicas: int) -> int:
        if num_requests == 0 and num_tokens == 0:
            return num_replicas - 1
        return max(num_replicas, math.ceil(num_tokens / self._target_tokens))
