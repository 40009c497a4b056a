"""Budgets: an amount that callers share, of which no caller can take all."""

from collections import Counter
from typing import Self


class BudgetExceeded(Exception):
    """A caller asked for more than the budget has left for it."""


class Budget:
    """An amount, such as of bytes, that callers share. Belongs to the event loop.

    A caller may reserve at most as much as then stays free for all others. The first greedy caller
    gets half, the second gets half of the rest, and some is always left for the next caller.
    """

    def __init__(self, capacity: int) -> None:
        self._free = capacity
        self._reserved: Counter[str] = Counter()

    @property
    def num_reserved(self) -> int:
        """Return the total amount that is reserved."""
        return self._reserved.total()

    def reserve(self, caller: str) -> "Reservation":
        """Return an empty reservation of a caller, to be used as a context manager."""
        return Reservation(self, caller)

    def _take(self, caller: str, amount: int) -> None:
        if self._reserved[caller] + amount > self._free - amount:
            raise BudgetExceeded
        self._reserved[caller] += amount
        self._free -= amount

    def _give_back(self, caller: str, amount: int) -> None:
        self._free += amount
        self._reserved[caller] -= amount
        if not self._reserved[caller]:
            del self._reserved[caller]


class Reservation:
    """The amount that one request has reserved. It returns exactly this amount when it exits.

    One call counts an amount here and in the budget, so the two always agree.
    """

    __slots__ = ("_amount", "_budget", "_caller")

    def __init__(self, budget: Budget, caller: str) -> None:
        self._budget = budget
        self._caller = caller
        self._amount = 0

    def grow(self, amount: int) -> None:
        """Reserve more.

        Raises:
            BudgetExceeded: when the caller may not reserve that much. Nothing was reserved.
        """
        self._budget._take(self._caller, amount)  # noqa: SLF001 - both classes are one unit
        self._amount += amount

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Return the amount to the budget, once."""
        amount, self._amount = self._amount, 0
        self._budget._give_back(self._caller, amount)  # noqa: SLF001 - both classes are one unit
