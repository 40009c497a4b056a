"""Doubles for tests of the engine: metrics that record calls, and leases without a pool."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from prefixes.backbone import ResidentPrefix
from server.batching.work import Work
from server.residency.leases import Lease

MakeWork = Callable[..., Work]


@dataclass
class RecordingMetrics:
    """Records what the engine reports."""

    batches: list[dict[str, object]] = field(default_factory=list)
    num_failed_batches: int = 0
    num_loads: int = 0
    num_evictions: int = 0
    num_tokens: int = 0
    num_unknown_tokens: int = 0

    def batch_done(
        self,
        *,
        rows: int,
        tokens: int,
        distinct_prefixes: int,
        device_seconds: float,
        queue_seconds: Sequence[float],
    ) -> None:
        self.batches.append({"rows": rows, "tokens": tokens, "distinct": distinct_prefixes})

    def batch_failed(self) -> None:
        self.num_failed_batches += 1

    def prefix_loaded(self, seconds: float) -> None:
        self.num_loads += 1

    def prefix_evicted(self) -> None:
        self.num_evictions += 1

    def tokenized(self, seconds: float, tokens: int, unknown: int) -> None:
        self.num_tokens += tokens
        self.num_unknown_tokens += unknown


def fake_lease(resident: ResidentPrefix, on_release: Callable[[], object]) -> Lease:
    """A lease of a prefix that no pool manages."""

    class Entry:
        num_leases = 1

    return Lease("0" * 64, resident, Entry(), lambda: (on_release(), None)[1])  # type: ignore[arg-type]


async def settled(*works: Work) -> list[object]:
    """Wait for works; gives results and errors alike."""
    replies = asyncio.gather(*(work.reply for work in works), return_exceptions=True)
    return list(await asyncio.wait_for(replies, timeout=30))
