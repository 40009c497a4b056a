"""PrefixPool: the tensor of all resident prefixes, its entries, and the eviction of idle ones.

Belongs to the event loop. Only the tensor's contents are written on other threads, each in slots
that nothing else uses.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from torch import Tensor

from prefixes import Prefix
from prefixes.backbone import Backbone
from server.errors import ResidencyBudgetExceeded
from server.residency.budget import Allocation, Footprint, ResidencyBudget
from server.residency.leases import Lease, ResidentEntry


class ResidencyMetrics(Protocol):
    """Metrics that residency reports."""

    def prefix_loaded(self, seconds: float) -> None: ...
    def prefix_evicted(self) -> None: ...


class PrefixPool:
    """Allocates memory to prefixes, and evicts the least recently used when it is full."""

    def __init__(self, backbone: Backbone, *, budget_bytes: int, metrics: ResidencyMetrics) -> None:
        self._slot_bytes = backbone.empty_pool(1).nbytes
        num_slots = max(1, budget_bytes // self._slot_bytes)
        self.tensor: Tensor = backbone.empty_pool(num_slots)  # (L, 2, C, H, D)
        self.budget = ResidencyBudget(num_slots, budget_bytes)
        self.num_waiting_loads = 0
        self._entries: OrderedDict[str, ResidentEntry] = OrderedDict()  # least recently used first
        self._changed = asyncio.Event()
        self._metrics = metrics

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, digest: str) -> ResidentEntry:
        return self._entries[digest]

    def digests(self) -> frozenset[str]:
        """Return the digests of all prefixes in the pool."""
        return frozenset(self._entries)

    def lease(self, digest: str) -> Lease | None:
        """Lease a prefix and mark it as recently used; None when it is not in the pool."""
        entry = self._entries.get(digest)
        if entry is None:
            return None
        self._entries.move_to_end(digest)
        entry.num_leases += 1
        return self.counted_lease(digest, entry)

    def counted_lease(self, digest: str, entry: ResidentEntry) -> Lease:
        """Return a lease that `entry.num_leases` already counts."""
        return Lease(digest, entry.resident, entry, self.notify)

    def add(self, digest: str, entry: ResidentEntry) -> None:
        """Add a prefix that was placed into its allocation."""
        self._entries[digest] = entry

    def discard(self, digest: str) -> None:
        """Evict a prefix now, unless it is leased."""
        entry = self._entries.get(digest)
        if entry is not None and entry.num_leases == 0:
            self._evict(digest)

    def notify(self) -> None:
        """Let the loads that wait for memory try again."""
        self._changed.set()

    def footprint_of(self, prefix: Prefix) -> Footprint:
        """Count the slots and bytes that a prefix needs on the device."""
        heads = sum(x.size for name, x in prefix.tensors.items() if name.startswith("head."))
        prompt = sum(x.size for name, x in prefix.tensors.items() if name.startswith("prompt."))
        slots_bytes = prefix.spec.num_slots * self._slot_bytes
        rule = prefix.spec.rejection
        if rule is not None:
            heads += rule.num_dimensions * prefix.spec.backbone.hidden_size
        # Heads compute in float32, whatever the precision of the backbone.
        num_bytes = int(slots_bytes + prompt * self.tensor.element_size() + heads * 4)
        return Footprint(prefix.spec.num_slots, num_bytes)

    def allocate(self, footprint: Footprint) -> Allocation | None:
        """Allocate memory, evicting idle prefixes; None when too much of it is leased.

        Raises:
            ResidencyBudgetExceeded: when waiting for leases to end cannot help.
        """
        if not self.budget.can_ever_fit(footprint):
            raise ResidencyBudgetExceeded(
                f"The prefix needs {footprint.num_bytes} bytes of device memory. This server "
                f"has {self.budget.total.num_bytes} bytes for prefixes, of which "
                f"{self.budget.pinned_bytes} are pinned. Ask the operator to raise "
                "POLYPREFIX_RESIDENT_MIB, or to pin fewer prefixes."
            )
        while (allocation := self.budget.allocate(footprint)) is None:
            idle = next((d for d, entry in self._entries.items() if entry.num_leases == 0), None)
            if idle is None:
                return None
            self._evict(idle)
        return allocation

    async def wait_to_allocate(self, footprint: Footprint) -> Allocation:
        """Allocate memory as soon as enough of it can be freed."""
        self.num_waiting_loads += 1
        try:
            while (allocation := self.allocate(footprint)) is None:
                self._changed.clear()
                await self._changed.wait()
        finally:
            self.num_waiting_loads -= 1
        return allocation

    @contextmanager
    def freed_on_failure(self, allocation: Allocation) -> Iterator[None]:
        """Free an allocation if the body of the context fails."""
        try:
            yield
        except BaseException:
            self._free(allocation)
            raise

    def _evict(self, digest: str) -> None:
        self._free(self._entries.pop(digest).allocation)
        self._metrics.prefix_evicted()

    def _free(self, allocation: Allocation) -> None:
        self.budget.free(allocation)
        self.notify()
