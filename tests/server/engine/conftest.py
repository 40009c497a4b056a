"""What the engine's tests share: metrics that remember, and works around a real prefix."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from prefixes.backbone import Backbone, EncodedText, ResidentPrefix, pool_of
from server.engine.leases import Lease
from server.engine.work import Work
from tests.factories import make_prefix

MakeWork = Callable[..., Work]


@dataclass
class RecordingMetrics:
    """Remembers all that the engine reports."""

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

    def tokenised(self, seconds: float, tokens: int, unknown: int) -> None:
        self.num_tokens += tokens
        self.num_unknown_tokens += unknown


@pytest.fixture
def metrics() -> RecordingMetrics:
    return RecordingMetrics()


@pytest.fixture
def make_work(backbone: Backbone) -> MakeWork:
    """Make works that need no residency: their lease's release is counted and nothing more."""
    _, (resident,) = pool_of(backbone, [make_prefix(backbone.fingerprint)])

    def make(
        num_tokens: int = 5,
        *,
        deadline: float = float("inf"),
        on_release: Callable[[], object] = int,
    ) -> Work:
        text = EncodedText([7] * num_tokens, [0] * num_tokens)
        return Work(fake_lease(resident, on_release), text, deadline, enqueued_at=0.0)

    return make


def fake_lease(resident: ResidentPrefix, on_release: Callable[[], object]) -> Lease:
    """A lease of a prefix that no pool manages."""

    class Entry:
        num_leases = 1

    return Lease("0" * 64, resident, Entry(), lambda: (on_release(), None)[1])  # type: ignore[arg-type]


async def settled(*works: Work) -> list[object]:
    """Wait for works; gives results and errors alike."""
    replies = asyncio.gather(*(work.reply for work in works), return_exceptions=True)
    return list(await asyncio.wait_for(replies, timeout=30))
