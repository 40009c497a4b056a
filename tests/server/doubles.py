"""Doubles for tests of the engine: recorded metrics, leases without a pool, stored prefixes."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prefixes import Prefix, digest_of
from prefixes.backbone import Backbone, EncodeJob, ResidentPrefix, TextEncoder
from prefixes.encoded import EncodedInput
from prefixes.errors import InputRejected, StoreCorrupted
from prefixes.local_store import LocalStore
from prefixes.registry import Actor, PrefixRegistry, PrefixVersion
from server.batching.work import Work
from server.residency.leases import Lease
from server.usage.meter import UsageMetrics
from tests.factories import make_prefix

MakeWork = Callable[..., Work]

_MAX_SECONDS = 120
"""Time after which a test that waits for an event fails instead of hanging."""


class EventCounter:
    """Counts events on any thread. A test awaits a count instead of sleeping."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.count = 0

    def add(self) -> None:
        """Count one event."""
        with self._changed:
            self.count += 1
            self._changed.notify_all()

    async def reach(self, count: int) -> None:
        """Wait until this many events have happened."""
        await asyncio.to_thread(self._wait, count)

    def _wait(self, count: int) -> None:
        with self._changed:
            is_reached = self._changed.wait_for(lambda: self.count >= count, _MAX_SECONDS)
            assert is_reached, f"{self.count} of {count} events happened"


async def until(holds: Callable[[], bool], *, seconds: float = _MAX_SECONDS) -> None:
    """Let the event loop run until a condition holds; fail after this many seconds."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - the state under test has no event for this
            await asyncio.sleep(0)


class ManualSleep:
    """Replaces `asyncio.sleep`: a sleep ends when the test lets its time elapse."""

    def __init__(self) -> None:
        self._sleeping = asyncio.Semaphore(0)
        self._elapsed = asyncio.Semaphore(0)

    async def __call__(self, _seconds: float) -> None:
        self._sleeping.release()
        await self._elapsed.acquire()

    async def until_asleep(self) -> None:
        """Wait until the code under test sleeps."""
        await asyncio.wait_for(self._sleeping.acquire(), _MAX_SECONDS)

    async def elapse(self) -> None:
        """End the current sleep, and wait until the code under test sleeps again."""
        self._elapsed.release()
        await self.until_asleep()


async def run_ready_tasks() -> None:
    """Let every task of the loop run until it waits for a thread or an event."""
    for _ in range(20):
        await asyncio.sleep(0)


@dataclass
class RecordingMetrics:
    """Records what the engine reports."""

    batches: list[dict[str, object]] = field(default_factory=list)
    num_failed_batches: int = 0
    num_loads: int = 0
    num_evictions: int = 0
    num_tokens: int = 0
    num_unknown_tokens: int = 0
    num_tokenized: int = 0
    usage: UsageMetrics | None = None

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
        self.num_tokenized += 1
        self.num_tokens += tokens
        self.num_unknown_tokens += unknown


class GatedTextEncoder(TextEncoder):
    """A tokenizer behind a gate, which records how many jobs each call has.

    The text "the bug" raises an exception and "the panic" a panic of the tokenizers library.
    """

    class Panic(BaseException):
        """A panic in Rust reaches Python as an error that is not an Exception."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        self._called = EventCounter()
        self.gate = threading.Event()
        self.gate.set()
        self.calls: list[int] = []

    async def until_called(self, times: int) -> None:
        await self._called.reach(times)

    def encode_together(
        self, jobs: Sequence[EncodeJob]
    ) -> list[list[EncodedInput] | InputRejected]:
        self.calls.append(len(jobs))
        self._called.add()
        assert self.gate.wait(_MAX_SECONDS)
        for job in jobs:
            if ("the bug",) in job.inputs:
                raise RuntimeError("a bug")
            if ("the panic",) in job.inputs:
                raise self.Panic("in Rust")
        return self._encoder.encode_together(jobs)


class PrefixShelf:
    """Prefixes by digest. Counts how often each is fetched; a closed gate blocks every fetch."""

    def __init__(self, *prefixes: Prefix) -> None:
        self.prefixes = {digest_of(prefix.to_bytes()): prefix for prefix in prefixes}
        self.fetches: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    @classmethod
    def of(cls, backbone: Backbone, count: int, **changes: object) -> "PrefixShelf":
        """Make prefixes with the seeds 0, 1 and so on."""
        seeds = range(count)
        return cls(*(make_prefix(backbone.fingerprint, seed=seed, **changes) for seed in seeds))

    @property
    def digests(self) -> list[str]:
        return list(self.prefixes)

    @property
    def num_fetches(self) -> int:
        return len(self.fetches)

    def fetch(self, digest: str) -> Prefix:
        assert self.gate.wait(_MAX_SECONDS)
        self.fetches.append(digest)
        if digest not in self.prefixes:
            raise StoreCorrupted(f"no {digest}")
        return self.prefixes[digest]


def fake_lease(resident: ResidentPrefix, on_release: Callable[[], object]) -> Lease:
    """A lease of a prefix that no pool manages."""

    class Entry:
        num_leases = 1

    return Lease("0" * 64, resident, Entry(), lambda: (on_release(), None)[1])  # type: ignore[arg-type]


def publish(
    registry: PrefixRegistry, tenant: str, task: str, prefix: Prefix, *, alias: str | None = None
) -> PrefixVersion:
    """Publish a prefix without a server."""
    registry.ensure_tenant(tenant)
    with registry.store.stage() as staged:
        staged.write(prefix.to_bytes())
        published = registry.publish(tenant, task, staged, prefix, alias=alias, by=Actor("test"))
    return published.version


def local_folder(registry: PrefixRegistry) -> Path:
    """Return the folder of a registry that keeps its prefix files in one."""
    assert isinstance(registry.store, LocalStore)
    return registry.store.folder


def damage(registry: PrefixRegistry, digest: str) -> None:
    """Overwrite the stored bytes of a version."""
    (local_folder(registry) / "blobs" / digest[:2] / digest).write_bytes(b"damaged")


async def settled(*works: Work) -> list[object]:
    """Wait for works; gives results and errors alike."""
    replies = asyncio.gather(*(work.reply for work in works), return_exceptions=True)
    return list(await asyncio.wait_for(replies, timeout=_MAX_SECONDS))
