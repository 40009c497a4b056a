"""Budgets: what callers share, so that nobody can take it all."""

from collections import Counter
from typing import Self


class BudgetExceeded(Exception):
    """A caller asked for more than a budget has left for them."""


class Budget:
    """A number of bytes, or of anything else, shared by callers. Belongs to the event loop.

    A caller may hold at most as much as stays free for all others: the first greedy one gets half,
    the second half of the rest. Whoever comes next still finds some room.
    """

    def __init__(self, capacity: int) -> None:
        self._free = capacity
        self._held: Counter[str] = Counter()

    @property
    def num_reserved(self) -> int:
        """Sum up what all callers hold."""
        return self._held.total()

    def reserve(self, caller: str) -> "Reservation":
        """Begin to hold nothing on behalf of a caller; a context manager."""
        return Reservation(self, caller)

    def _take(self, caller: str, amount: int) -> None:
        if self._held[caller] + amount > self._free - amount:
            raise BudgetExceeded
        self._held[caller] += amount
        self._free -= amount

    def _give_back(self, caller: str, amount: int) -> None:
        self._free += amount
        self._held[caller] -= amount
        if not self._held[caller]:
            del self._held[caller]


class Reservation:
    """What one request has taken from a budget: only it can take, and it gives back exactly that.

    Every byte is counted here and in the budget by the same call, so the two cannot drift apart.
    """

    __slots__ = ("_amount", "_budget", "_caller")

    def __init__(self, budget: Budget, caller: str) -> None:
        self._budget = budget
        self._caller = caller
        self._amount = 0

    def grow(self, amount: int) -> None:
        """Take more.

        Raises:
            BudgetExceeded: when there is not so much left for the caller; nothing was taken.
        """
        self._budget._take(self._caller, amount)  # noqa: SLF001 - the two are one
        self._amount += amount

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Give everything back, once."""
        amount, self._amount = self._amount, 0
        self._budget._give_back(self._caller, amount)  # noqa: SLF001 - the two are one
