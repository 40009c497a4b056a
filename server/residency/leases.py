"""Leases: who holds a prefix on the device, so that it stays there. Of the event loop alone."""

from collections.abc import Callable
from dataclasses import dataclass, field

from prefixes.backbone import ResidentPrefix
from server.residency.budget import Allocation


@dataclass(slots=True, eq=False)
class ResidentEntry:
    """A prefix in its room on the device, and how many leases of it there are."""

    resident: ResidentPrefix
    room: Allocation
    num_leases: int


@dataclass(slots=True, eq=False)
class Lease:
    """A promise that a prefix stays on the device until `release`."""

    digest: str
    resident: ResidentPrefix
    _held: ResidentEntry = field(repr=False)
    _on_release: Callable[[], None] = field(repr=False)
    _is_held: bool = True

    def release(self) -> None:
        """Give the prefix back; a second call does nothing."""
        if self._is_held:
            self._is_held = False
            self._held.num_leases -= 1
            self._on_release()

    def share(self) -> "Lease":
        """Take a second lease of the same prefix, to be released on its own."""
        self._held.num_leases += 1
        return Lease(self.digest, self.resident, self._held, self._on_release)
