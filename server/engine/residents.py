"""ResidentPrefixes: the prefixes on the device, in one pool with a byte budget.

All state belongs to the event loop. Only reading a file and copying its tensors happen on a
loader thread, into slots that nobody else uses. A miss delays the requests that missed and no
others, and many requests for the same missing prefix wait for one load.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from prefixes import Prefix
from prefixes.backbone import Backbone, ResidentPrefix
from server.engine.errors import InferenceFailed

_NUM_LOADERS = 2

Check = Callable[[str, ResidentPrefix, Tensor], None]
"""Gets the digest of a prefix, and where it stands in the pool; raises PrefixError to refuse it."""


class ResidencyMetrics(Protocol):
    """What residency reports to the outside."""

    def prefix_loaded(self, seconds: float) -> None: ...
    def prefix_evicted(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ResidentStats:
    num_resident: int
    used_bytes: int
    capacity_bytes: int


@dataclass(slots=True, eq=False)
class Lease:
    """A promise that a prefix stays on the device until `release`."""

    digest: str
    resident: ResidentPrefix
    _entry: "_Entry" = field(repr=False)
    _on_release: Callable[[], None] = field(repr=False)
    _is_held: bool = True

    def release(self) -> None:
        """Give the prefix back; a second call does nothing."""
        if self._is_held:
            self._is_held = False
            self._entry.num_leases -= 1
            self._on_release()

    def share(self) -> "Lease":
        """Take a second lease of the same prefix, to be released on its own."""
        self._entry.num_leases += 1
        return Lease(self.digest, self.resident, self._entry, self._on_release)


@dataclass(slots=True, eq=False)
class _Entry:
    resident: ResidentPrefix
    num_bytes: int
    num_leases: int = 0


@dataclass(slots=True, eq=False)
class _Load:
    """A prefix on its way to the device, and how many wait for a lease of it."""

    task: asyncio.Task[_Entry]
    num_waiting: int = 0


class ResidentPrefixes:
    """Leases of prefixes by digest; loads what is missing, evicts what was used longest ago."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        budget_bytes: int,
        fetch: Callable[[str], Prefix],
        metrics: ResidencyMetrics,
        check: Check | None = None,
    ) -> None:
        """Set up the pool.

        Args:
            backbone: what the prefixes fit.
            budget_bytes: bound on the bytes of keys, values and heads together.
            fetch: reads a prefix by digest; runs on a loader thread, may raise PrefixError.
            metrics: told of loads and evictions.
            check: sees what a store gave before anybody leases it; as `fetch`.
        """
        self._slot_bytes = backbone.empty_pool(1).nbytes
        num_slots = max(1, budget_bytes // self._slot_bytes)
        self.pool = backbone.empty_pool(num_slots)  # (L, 2, C, H, D)
        self._free_slots = list(range(num_slots))
        self._budget_bytes = budget_bytes
        self._used_bytes = 0
        self._entries: OrderedDict[str, _Entry] = OrderedDict()  # least recently used first
        self._loads: dict[str, _Load] = {}
        self._room_changed = asyncio.Event()
        self._fetch = fetch
        self._check = check
        self._metrics = metrics
        self._loaders = ThreadPoolExecutor(_NUM_LOADERS, thread_name_prefix="loader")

    @property
    def stats(self) -> ResidentStats:
        return ResidentStats(len(self._entries), self._used_bytes, self._budget_bytes)

    async def lease(self, digest: str, *, staged: Prefix | None = None) -> Lease:
        """Hold a prefix on the device, loading it first where it is missing.

        Args:
            digest: the prefix's identity.
            staged: the prefix itself, where no store has it yet.

        Raises:
            PrefixError: when the store cannot give it.
            InferenceFailed: when it is larger than the whole budget.
        """
        return self.lease_resident(digest) or await self._lease_loaded(digest, staged)

    def lease_resident(self, digest: str) -> Lease | None:
        """Hold a prefix that is on the device already; None when it is not."""
        entry = self._entries.get(digest)
        if entry is None:
            return None
        self._entries.move_to_end(digest)
        entry.num_leases += 1
        return self._counted_lease(digest, entry)

    def discard(self, digest: str) -> None:
        """Free a prefix's room now, unless someone holds it."""
        entry = self._entries.get(digest)
        if entry is not None and entry.num_leases == 0:
            self._evict(digest)

    def close(self) -> None:
        """Stop the loader threads."""
        self._loaders.shutdown(wait=False, cancel_futures=True)

    def _counted_lease(self, digest: str, entry: _Entry) -> Lease:
        return Lease(digest, entry.resident, entry, self._room_changed.set)

    async def _lease_loaded(self, digest: str, staged: Prefix | None) -> Lease:
        load = self._loads.get(digest)
        if load is None:
            load = self._loads[digest] = _Load(asyncio.create_task(self._load(digest, staged)))
            load.task.add_done_callback(_read_exception)
        load.num_waiting += 1
        try:
            # Shielded: one impatient caller must not cancel a load that others wait for.
            entry = await asyncio.shield(load.task)
        except asyncio.CancelledError:
            if not load.task.done():
                load.num_waiting -= 1
            elif not load.task.cancelled() and load.task.exception() is None:
                self._counted_lease(digest, load.task.result()).release()
            raise
        return self._counted_lease(digest, entry)

    async def _load(self, digest: str, staged: Prefix | None) -> _Entry:
        started = time.perf_counter()
        loop = asyncio.get_running_loop()
        try:
            prefix = (
                staged
                if staged is not None
                else await loop.run_in_executor(self._loaders, self._fetch, digest)
            )
            num_bytes = self._bytes_of(prefix)
            slots = await self._make_room(prefix.spec.num_slots, num_bytes)
            try:
                resident = await loop.run_in_executor(
                    self._loaders, ResidentPrefix.place, prefix, self.pool, slots
                )
                if self._check is not None and staged is None:
                    await loop.run_in_executor(
                        self._loaders, self._check, digest, resident, self.pool
                    )
            except BaseException:
                self._give_back(slots, num_bytes)
                raise
            # Leased to its waiters from the first moment: another load that waits for room wakes
            # before they do, and the two would evict each other's prefixes forever.
            entry = _Entry(resident, num_bytes, num_leases=self._loads[digest].num_waiting)
            self._entries[digest] = entry
        finally:
            del self._loads[digest]
            # Also when nobody leases it: whoever waits for room may now evict it.
            self._room_changed.set()
        self._metrics.prefix_loaded(time.perf_counter() - started)
        return entry

    def _bytes_of(self, prefix: Prefix) -> int:
        heads = sum(x.size for name, x in prefix.tensors.items() if name.startswith("head."))
        prompt = sum(x.size for name, x in prefix.tensors.items() if name.startswith("prompt."))
        slots_bytes = prefix.spec.num_slots * self._slot_bytes
        # Heads compute in float32, whatever the backbone does.
        return int(slots_bytes + prompt * self.pool.element_size() + heads * 4)

    async def _make_room(self, num_slots: int, num_bytes: int) -> list[int]:
        if num_slots > self.pool.shape[2] or num_bytes > self._budget_bytes:
            raise InferenceFailed(
                f"The prefix needs {num_bytes} bytes on the device, this server keeps "
                f"{self._budget_bytes} for all: raise POLYPREFIX_RESIDENT_MIB"
            )
        while not self._has_room(num_slots, num_bytes):
            idle = next((d for d, entry in self._entries.items() if entry.num_leases == 0), None)
            if idle is not None:
                self._evict(idle)
            else:
                self._room_changed.clear()
                await self._room_changed.wait()
        self._used_bytes += num_bytes
        return [self._free_slots.pop() for _ in range(num_slots)]

    def _has_room(self, num_slots: int, num_bytes: int) -> bool:
        fits_budget = self._used_bytes + num_bytes <= self._budget_bytes
        return fits_budget and len(self._free_slots) >= num_slots

    def _evict(self, digest: str) -> None:
        entry = self._entries.pop(digest)
        self._give_back(entry.resident.slots, entry.num_bytes)
        self._metrics.prefix_evicted()

    def _give_back(self, slots: list[int] | tuple[int, ...], num_bytes: int) -> None:
        self._free_slots.extend(slots)
        self._used_bytes -= num_bytes
        self._room_changed.set()


def _read_exception(task: asyncio.Task[_Entry]) -> None:
    """Mark a failed load as seen: those who still wait get its error, if anyone does."""
    if not task.cancelled():
        task.exception()
