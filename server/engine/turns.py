"""Turns: a queue in which tenants take turns, so that no tenant waits for all works of another."""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """Items of tenants: one of each tenant in turn, and each tenant's in order of arrival."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str | None, deque[T]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._lines)

    def add(self, tenant: str | None, item: T) -> None:
        """Append an item of a tenant; None stands for all anonymous callers."""
        self._lines.setdefault(tenant, deque()).append(item)

    def peek(self) -> T:
        """Return the next item."""
        return next(iter(self._lines.values()))[0]

    def take(self) -> T:
        """Remove and return the next item. Its tenant goes to the end."""
        tenant, line = next(iter(self._lines.items()))
        item = line.popleft()
        if line:
            self._lines.move_to_end(tenant)
        else:
            del self._lines[tenant]
        return item
