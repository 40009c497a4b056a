"""ResidencyBudget: the slots and the bytes of the pool, as they are taken and given back."""

from dataclasses import dataclass
from typing import Final

_PINNED_SHARE: Final = 0.9
"""Most that pinned prefixes may take: with all of it, no other prefix could ever be answered."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a prefix takes: slots of the pool, and bytes of them, its head and its prompt."""

    num_slots: int
    num_bytes: int


@dataclass(frozen=True, slots=True, eq=False)
class Allocation:
    """A prefix's place: slots that nobody else has, counted with so many bytes."""

    slots: tuple[int, ...]
    num_bytes: int

    @property
    def need(self) -> Footprint:
        return Footprint(len(self.slots), self.num_bytes)


class ResidencyBudget:
    """Counts what of so many slots and bytes is taken, and how much of that is pinned."""

    def __init__(self, num_slots: int, budget_bytes: int) -> None:
        self.all = Footprint(num_slots, budget_bytes)
        self._free_slots = list(range(num_slots))
        self._used_bytes = 0
        self._pinned = Footprint(0, 0)

    @property
    def used_bytes(self) -> int:
        return self._used_bytes

    @property
    def pinned_bytes(self) -> int:
        return self._pinned.num_bytes

    def take(self, need: Footprint) -> Allocation | None:
        """Take room; None when there is not enough now."""
        fits_budget = self._used_bytes + need.num_bytes <= self.all.num_bytes
        if not fits_budget or len(self._free_slots) < need.num_slots:
            return None
        self._used_bytes += need.num_bytes
        slots = tuple(self._free_slots.pop() for _ in range(need.num_slots))
        return Allocation(slots, need.num_bytes)

    def give_back(self, room: Allocation) -> None:
        """Free a room that was taken."""
        self._free_slots.extend(room.slots)
        self._used_bytes -= room.num_bytes

    def may_have(self, need: Footprint) -> bool:
        """Tell whether there would be room if nothing but pinned prefixes were there."""
        return _fits(_sum(self._pinned, need), self.all)

    def pin(self, room: Allocation) -> bool:
        """Count a room as pinned; false, and nothing counted, when that would be too much."""
        pinned = _sum(self._pinned, room.need)
        most = Footprint(
            int(_PINNED_SHARE * self.all.num_slots), int(_PINNED_SHARE * self.all.num_bytes)
        )
        if not _fits(pinned, most):
            return False
        self._pinned = pinned
        return True

    def unpin(self, room: Allocation) -> None:
        """Count a room as pinned no longer."""
        self._pinned = Footprint(
            self._pinned.num_slots - len(room.slots), self._pinned.num_bytes - room.num_bytes
        )


def _sum(one: Footprint, other: Footprint) -> Footprint:
    return Footprint(one.num_slots + other.num_slots, one.num_bytes + other.num_bytes)


def _fits(need: Footprint, most: Footprint) -> bool:
    return need.num_slots <= most.num_slots and need.num_bytes <= most.num_bytes
