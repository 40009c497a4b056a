"""Options of the engine: its limits, and the metrics that it reports."""

from dataclasses import dataclass
from typing import Protocol

from prefixes import PrefixRef
from server.batching.batch_metrics import BatchMetrics
from server.engine.pipeline import TokenizationMetrics
from server.residency.pool import ResidencyMetrics
from server.usage.meter import UsageMetrics


class EngineMetrics(BatchMetrics, ResidencyMetrics, TokenizationMetrics, Protocol):
    """All metrics that the engine reports. `usage` are those by tenant and by task, if any."""

    @property
    def usage(self) -> UsageMetrics | None: ...


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """Limits of the engine, and the prefixes that it pins.

    `max_waiting` limits the texts in flight, and `max_texts` those of one request. At start, the
    engine lowers `max_batch_tokens` to meet a latency of `target_seconds`. `num_streams` batches
    run at once. `host_bytes` and `num_streams` are chosen for the device if they are None.
    """

    max_batch_tokens: int = 4096
    max_batch_rows: int = 256
    max_waiting: int = 2048
    max_texts: int = 256
    resident_bytes: int = 512 * 2**20
    host_bytes: int | None = None
    pinned: tuple[PrefixRef, ...] = ()
    target_seconds: float | None = None
    num_streams: int | None = None
