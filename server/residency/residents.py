"""ResidentPrefixes: leases prefixes on the device by digest, and loads those that are missing.

All state belongs to the event loop. A load delays the requests that wait for its prefix and no
others. Many requests for the same missing prefix share one load.
"""

import asyncio
import time
from dataclasses import dataclass, field

from torch import Tensor

from prefixes import Prefix
from prefixes.backbone import Backbone
from server.errors import ResidencyBudgetExceeded
from server.residency.host_cache import HostCacheStats
from server.residency.leases import Lease, ResidentEntry
from server.residency.loader import Check, Fetch, PrefixLoader
from server.residency.pool import PrefixPool, ResidencyMetrics


@dataclass(frozen=True, slots=True)
class ResidentStats:
    """The contents of the device memory for prefixes, and of the host cache.

    `num_waiting_loads` counts the loads that wait for leases to end, so that they can evict.
    """

    num_resident: int
    used_bytes: int
    capacity_bytes: int
    num_pinned: int = 0
    num_waiting_loads: int = 0
    host: HostCacheStats = field(default_factory=HostCacheStats)


@dataclass(slots=True, eq=False)
class _Load:
    """A prefix that is being loaded, and the number of callers that wait for a lease of it."""

    task: asyncio.Task[ResidentEntry]
    num_waiting: int = 0


class ResidentPrefixes:
    """Leases prefixes by digest. Loads missing ones and evicts the least recently used."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        budget_bytes: int,
        fetch: Fetch,
        metrics: ResidencyMetrics,
        check: Check | None = None,
    ) -> None:
        """Set up the pool.

        Args:
            backbone: the backbone that the prefixes fit.
            budget_bytes: limit on the bytes of keys, values and heads together.
            fetch: reads a prefix by digest; runs on a loader thread, may raise PrefixError.
            metrics: counts loads and evictions.
            check: checks a prefix from the store before its first lease; runs as `fetch`.
        """
        self._pool = PrefixPool(backbone, budget_bytes=budget_bytes, metrics=metrics)
        self._loader = PrefixLoader(self._pool, fetch, check)
        self._loads: dict[str, _Load] = {}
        self._pins: dict[str, Lease] = {}
        self._metrics = metrics

    @property
    def pool(self) -> Tensor:
        """The keys and values, or vectors, of all resident prefixes: (L, 2, C, H, D)."""
        return self._pool.tensor

    @property
    def stats(self) -> ResidentStats:
        budget = self._pool.budget
        return ResidentStats(
            num_resident=len(self._pool),
            used_bytes=budget.used_bytes,
            capacity_bytes=budget.total.num_bytes,
            num_pinned=len(self._pins),
            num_waiting_loads=self._pool.num_waiting_loads,
        )

    def digests(self) -> frozenset[str]:
        """Return the digests of all prefixes on the device."""
        return self._pool.digests()

    async def lease(self, digest: str, *, staged: Prefix | None = None) -> Lease:
        """Lease a prefix, and load it first if it is missing.

        Args:
            digest: the prefix's identity.
            staged: the prefix itself, if it is not in the store yet.

        Raises:
            PrefixError: when the store cannot supply it.
            ResidencyBudgetExceeded: when it does not fit next to the pinned prefixes.
        """
        return self.lease_resident(digest) or await self._lease_loaded(digest, staged)

    def lease_resident(self, digest: str) -> Lease | None:
        """Lease a prefix that is already on the device; None when it is not."""
        return self._pool.lease(digest)

    async def pin(self, digest: str) -> None:
        """Keep a prefix on the device until `unpin`, and load it first if it is missing.

        Raises:
            PrefixError: when the store cannot supply it.
            ResidencyBudgetExceeded: when pinned prefixes would leave too little for all others.
        """
        lease = await self.lease(digest)
        budget, allocation = self._pool.budget, self._pool[digest].allocation
        if digest in self._pins:
            lease.release()
        elif budget.pin(allocation):
            self._pins[digest] = lease
        else:
            lease.release()
            raise ResidencyBudgetExceeded(
                f"The prefix cannot be pinned: it needs {allocation.num_bytes} bytes of device "
                f"memory. {budget.pinned_bytes} of {budget.total.num_bytes} bytes are pinned, and "
                "some must stay free for other prefixes. Raise POLYPREFIX_RESIDENT_MIB, or pin "
                "fewer prefixes."
            )

    def unpin(self, digest: str) -> None:
        """Allow a pinned prefix to be evicted again; no effect on one that is not pinned."""
        lease = self._pins.pop(digest, None)
        if lease is not None:
            self._pool.budget.unpin(self._pool[digest].allocation)
            lease.release()

    def discard(self, digest: str) -> None:
        """Evict a prefix now, unless it is leased."""
        self._pool.discard(digest)

    def close(self) -> None:
        """Stop the loader threads."""
        self._loader.close()

    async def _lease_loaded(self, digest: str, staged: Prefix | None) -> Lease:
        load = self._loads.get(digest)
        if load is None:
            load = self._loads[digest] = _Load(asyncio.create_task(self._load(digest, staged)))
            load.task.add_done_callback(_retrieve_exception)
        load.num_waiting += 1
        try:
            # Shielded: a caller that is cancelled must not cancel a load that others wait for.
            entry = await asyncio.shield(load.task)
        except asyncio.CancelledError:
            if not load.task.done():
                load.num_waiting -= 1
            elif not load.task.cancelled() and load.task.exception() is None:
                self._pool.counted_lease(digest, load.task.result()).release()
            raise
        return self._pool.counted_lease(digest, entry)

    async def _load(self, digest: str, staged: Prefix | None) -> ResidentEntry:
        started = time.perf_counter()
        try:
            resident, allocation = await self._loader.load(digest, staged)
            # The waiting callers get their leases before they run. Another load that waits for
            # memory may run first, and the two would evict each other's prefixes forever.
            num_leases = self._loads[digest].num_waiting
            entry = ResidentEntry(resident, allocation, num_leases)
            self._pool.add(digest, entry)
        finally:
            del self._loads[digest]
            # Even when nobody leases the prefix: a load that waits for memory may now evict it.
            self._pool.notify()
        self._metrics.prefix_loaded(time.perf_counter() - started)
        return entry


def _retrieve_exception(task: asyncio.Task[ResidentEntry]) -> None:
    """Mark a failed load as retrieved, because asyncio logs it if every caller was cancelled."""
    if not task.cancelled():
        task.exception()
