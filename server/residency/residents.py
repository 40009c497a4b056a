"""ResidentPrefixes: the prefixes on the device, in one pool with a byte budget.

All state belongs to the event loop. Only reading a file and copying its tensors happen on a
loader thread, into slots that nobody else uses. A miss delays the requests that missed and no
others, and many requests for the same missing prefix wait for one load.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final, Protocol, TypeVar

from torch import Tensor

from prefixes import Prefix
from prefixes.backbone import Backbone, ResidentPrefix
from server.errors import ResidencyBudgetExceeded
from server.residency.budget import Allocation, Footprint, ResidencyBudget
from server.residency.host_cache import HostCacheStats
from server.residency.leases import Lease, ResidentEntry

_NUM_LOADERS: Final = 2
_NUM_TURNS: Final = 2 * _NUM_LOADERS
"""Prefixes that are in memory between store and device at once."""

T = TypeVar("T")

Check = Callable[[str, ResidentPrefix, Tensor], None]
"""Gets the digest of a prefix, and where it stands in the pool; raises PrefixError to refuse it."""


class ResidencyMetrics(Protocol):
    """What residency reports to the outside."""

    def prefix_loaded(self, seconds: float) -> None: ...
    def prefix_evicted(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ResidentStats:
    """What is on the device; `host` is what the host's memory holds beside it."""

    num_resident: int
    used_bytes: int
    capacity_bytes: int
    num_pinned: int = 0
    host: HostCacheStats = field(default_factory=HostCacheStats)


@dataclass(slots=True, eq=False)
class _Load:
    """A prefix on its way to the device, and how many wait for a lease of it."""

    task: asyncio.Task[ResidentEntry]
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
        self._rooms = ResidencyBudget(num_slots, budget_bytes)
        self._entries: OrderedDict[str, ResidentEntry] = OrderedDict()  # least recently used first
        self._loads: dict[str, _Load] = {}
        self._pins: dict[str, Lease] = {}
        self._turns = asyncio.Semaphore(_NUM_TURNS)
        self._room_changed = asyncio.Event()
        self._fetch = fetch
        self._check = check
        self._metrics = metrics
        self._loaders = ThreadPoolExecutor(_NUM_LOADERS, thread_name_prefix="loader")

    @property
    def stats(self) -> ResidentStats:
        used, capacity = self._rooms.used_bytes, self._rooms.all.num_bytes
        return ResidentStats(len(self._entries), used, capacity, len(self._pins))

    async def lease(self, digest: str, *, staged: Prefix | None = None) -> Lease:
        """Hold a prefix on the device, loading it first where it is missing.

        Args:
            digest: the prefix's identity.
            staged: the prefix itself, where no store has it yet.

        Raises:
            PrefixError: when the store cannot give it.
            ResidencyBudgetExceeded: when it is larger than the whole budget.
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

    async def pin(self, digest: str) -> None:
        """Keep a prefix on the device until `unpin`, loading it first where it is missing.

        Raises:
            PrefixError: when the store cannot give it.
            ResidencyBudgetExceeded: when pinned prefixes would leave too little for all others.
        """
        lease = await self.lease(digest)
        room = self._entries[digest].room
        if digest in self._pins:
            lease.release()
        elif self._rooms.pin(room):
            self._pins[digest] = lease
        else:
            lease.release()
            raise ResidencyBudgetExceeded(
                f"The prefix needs {room.num_bytes} bytes on the device and cannot be pinned: "
                f"{self._rooms.pinned_bytes} of {self._rooms.all.num_bytes} bytes are pinned, and "
                "other prefixes need room, too: raise POLYPREFIX_RESIDENT_MIB, or pin fewer"
            )

    def unpin(self, digest: str) -> None:
        """Let a pinned prefix go when its room is needed; one that is not pinned may go anyway."""
        lease = self._pins.pop(digest, None)
        if lease is not None:
            self._rooms.unpin(self._entries[digest].room)
            lease.release()

    def discard(self, digest: str) -> None:
        """Free a prefix's room now, unless someone holds it."""
        entry = self._entries.get(digest)
        if entry is not None and entry.num_leases == 0:
            self._evict(digest)

    def close(self) -> None:
        """Stop the loader threads."""
        self._loaders.shutdown(wait=False, cancel_futures=True)

    def _counted_lease(self, digest: str, entry: ResidentEntry) -> Lease:
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

    async def _load(self, digest: str, staged: Prefix | None) -> ResidentEntry:
        started = time.perf_counter()
        try:
            resident, room = await self._bring(digest, staged)
            # Leased to its waiters from the first moment: another load that waits for room wakes
            # before they do, and the two would evict each other's prefixes forever.
            entry = ResidentEntry(resident, room, num_leases=self._loads[digest].num_waiting)
            self._entries[digest] = entry
        finally:
            del self._loads[digest]
            # Also when nobody leases it: whoever waits for room may now evict it.
            self._room_changed.set()
        self._metrics.prefix_loaded(time.perf_counter() - started)
        return entry

    async def _bring(self, digest: str, staged: Prefix | None) -> tuple[ResidentPrefix, Allocation]:
        """Read a prefix and copy it to a room of its own.

        Who has to wait for room does so without the prefix, and reads it again: those of many
        who wait would fill the memory beside the device.
        """
        async with self._turns:
            prefix = await self._read(digest, staged)
            need = self._need_of(prefix)
            room = self._make_room(need)
            if room is not None:
                with self._given_back_on_failure(room):
                    return await self._place(digest, prefix, room, staged), room
        del prefix
        room = await self._wait_for_room(need)
        with self._given_back_on_failure(room):
            async with self._turns:
                prefix = await self._read(digest, staged)
                return await self._place(digest, prefix, room, staged), room

    async def _read(self, digest: str, staged: Prefix | None) -> Prefix:
        return staged if staged is not None else await self._on_loader(self._fetch, digest)

    async def _place(
        self, digest: str, prefix: Prefix, room: Allocation, staged: Prefix | None
    ) -> ResidentPrefix:
        resident = await self._on_loader(ResidentPrefix.place, prefix, self.pool, room.slots)
        if self._check is not None and staged is None:
            await self._on_loader(self._check, digest, resident, self.pool)
        return _without_records(resident)

    async def _on_loader(self, call: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._loaders, call, *args)

    def _need_of(self, prefix: Prefix) -> Footprint:
        heads = sum(x.size for name, x in prefix.tensors.items() if name.startswith("head."))
        prompt = sum(x.size for name, x in prefix.tensors.items() if name.startswith("prompt."))
        slots_bytes = prefix.spec.num_slots * self._slot_bytes
        # Heads compute in float32, whatever the backbone does.
        num_bytes = int(slots_bytes + prompt * self.pool.element_size() + heads * 4)
        return Footprint(prefix.spec.num_slots, num_bytes)

    async def _wait_for_room(self, need: Footprint) -> Allocation:
        while (room := self._make_room(need)) is None:
            self._room_changed.clear()
            await self._room_changed.wait()
        return room

    def _make_room(self, need: Footprint) -> Allocation | None:
        """Take room, evicting what is idle; None when all the rest is leased."""
        if not self._rooms.may_have(need):
            raise ResidencyBudgetExceeded(
                f"The prefix needs {need.num_bytes} bytes on the device, this server keeps "
                f"{self._rooms.all.num_bytes} for all, {self._rooms.pinned_bytes} of them for "
                "pinned prefixes: raise POLYPREFIX_RESIDENT_MIB"
            )
        while (room := self._rooms.take(need)) is None:
            idle = next((d for d, entry in self._entries.items() if entry.num_leases == 0), None)
            if idle is None:
                return None
            self._evict(idle)
        return room

    def _evict(self, digest: str) -> None:
        entry = self._entries.pop(digest)
        self._give_back(entry.room)
        self._metrics.prefix_evicted()

    @contextmanager
    def _given_back_on_failure(self, room: Allocation) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._give_back(room)
            raise

    def _give_back(self, room: Allocation) -> None:
        self._rooms.give_back(room)
        self._room_changed.set()


def _without_records(resident: ResidentPrefix) -> ResidentPrefix:
    """Leave out what serving never reads: examples and provenance may outweigh the head."""
    records: dict[str, object] = {
        "golden": (),
        "provenance": None,
        "metrics": {},
        "description": "",
    }
    return replace(resident, spec=resident.spec.model_copy(update=records))


def _read_exception(task: asyncio.Task[ResidentEntry]) -> None:
    """Mark a failed load as seen: those who still wait get its error, if anyone does."""
    if not task.cancelled():
        task.exception()
