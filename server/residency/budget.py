"""ResidencyBudget: the slots and bytes of the pool, and what of them is allocated and pinned."""

from dataclasses import dataclass
from typing import Final

_MAX_PINNED: Final = 0.9
"""Share that pinned prefixes may have. With all of it, no other prefix could ever be loaded."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """The slots of the pool that a prefix needs, and the bytes of these, its head and prompt."""

    num_slots: int
    num_bytes: int


@dataclass(frozen=True, slots=True, eq=False)
class Allocation:
    """Slots that one prefix has for itself, and the bytes that it is counted with."""

    slots: tuple[int, ...]
    num_bytes: int

    @property
    def footprint(self) -> Footprint:
        return Footprint(len(self.slots), self.num_bytes)


class ResidencyBudget:
    """Allocates slots and bytes, and counts how much of them is pinned."""

    def __init__(self, num_slots: int, num_bytes: int) -> None:
        self.total = Footprint(num_slots, num_bytes)
        self._free_slots = list(range(num_slots))
        self._used_bytes = 0
        self._pinned = Footprint(0, 0)

    @property
    def used_bytes(self) -> int:
        return self._used_bytes

    @property
    def pinned_bytes(self) -> int:
        return self._pinned.num_bytes

    def allocate(self, footprint: Footprint) -> Allocation | None:
        """Allocate slots and bytes; None when there are too few free ones."""
        fits_bytes = self._used_bytes + footprint.num_bytes <= self.total.num_bytes
        if not fits_bytes or len(self._free_slots) < footprint.num_slots:
            return None
        self._used_bytes += footprint.num_bytes
        slots = tuple(self._free_slots.pop() for _ in range(footprint.num_slots))
        return Allocation(slots, footprint.num_bytes)

    def free(self, allocation: Allocation) -> None:
        """Take an allocation back."""
        self._free_slots.extend(allocation.slots)
        self._used_bytes -= allocation.num_bytes

    def can_ever_fit(self, footprint: Footprint) -> bool:
        """Report whether a prefix fits when every prefix that is not pinned is evicted."""
        return _fits(_sum(self._pinned, footprint), self.total)

    def pin(self, allocation: Allocation) -> bool:
        """Count an allocation as pinned; return False, and count nothing, if that is too much."""
        pinned = _sum(self._pinned, allocation.footprint)
        limit = Footprint(
            int(_MAX_PINNED * self.total.num_slots), int(_MAX_PINNED * self.total.num_bytes)
        )
        if not _fits(pinned, limit):
            return False
        self._pinned = pinned
        return True

    def unpin(self, allocation: Allocation) -> None:
        """Count an allocation as pinned no longer."""
        self._pinned = Footprint(
            self._pinned.num_slots - len(allocation.slots),
            self._pinned.num_bytes - allocation.num_bytes,
        )


def _sum(one: Footprint, other: Footprint) -> Footprint:
    return Footprint(one.num_slots + other.num_slots, one.num_bytes + other.num_bytes)


def _fits(footprint: Footprint, limit: Footprint) -> bool:
    return footprint.num_slots <= limit.num_slots and footprint.num_bytes <= limit.num_bytes
