"""Leases: keep prefixes on the device while requests use them. Belongs to the event loop."""

from collections.abc import Callable
from dataclasses import dataclass, field

from prefixes.backbone import ResidentPrefix
from server.residency.budget import Allocation


@dataclass(slots=True, eq=False)
class ResidentEntry:
    """A prefix on the device, its allocation, and the number of its leases."""

    resident: ResidentPrefix
    allocation: Allocation
    num_leases: int


@dataclass(slots=True, eq=False)
class Lease:
    """A guarantee that a prefix is not evicted until `release`."""

    digest: str
    resident: ResidentPrefix
    _entry: ResidentEntry = field(repr=False)
    _on_release: Callable[[], None] = field(repr=False)
    _is_active: bool = True

    def release(self) -> None:
        """End the lease. A second call has no effect."""
        if self._is_active:
            self._is_active = False
            self._entry.num_leases -= 1
            self._on_release()

    def share(self) -> "Lease":
        """Take a second lease of the same prefix, which is released on its own."""
        self._entry.num_leases += 1
        return Lease(self.digest, self.resident, self._entry, self._on_release)
