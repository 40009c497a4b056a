"""BatchMetrics: the metrics that the dispatcher reports."""

from collections.abc import Sequence
from typing import Protocol


class BatchMetrics(Protocol):
    """Counts batches. Times are in seconds."""

    def batch_done(
        self,
        *,
        rows: int,
        tokens: int,
        distinct_prefixes: int,
        device_seconds: float,
        queue_seconds: Sequence[float],
    ) -> None: ...
    def batch_failed(self) -> None: ...
