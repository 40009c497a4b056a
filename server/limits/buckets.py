"""TokenBucket: an amount that refills at a fixed rate, and that requests take from."""

import math
from typing import Final

BURST_SECONDS: Final = 10.0
"""A bucket holds what refills in this time: the most that a caller can save up."""


class TokenBucket:
    """Units that refill at `rate` per second. Times are in seconds, of any steady clock.

    The level is negative while a caller owes units. That is how a cost that is known only later,
    or that exceeds the capacity, still counts in full.
    """

    __slots__ = ("_level", "_updated", "capacity", "rate")

    def __init__(self, rate: float, now: float) -> None:
        self.rate = rate
        self.capacity = _capacity(rate)
        self._level = self.capacity
        self._updated = now

    @property
    def window(self) -> float:
        """Seconds in which an empty bucket refills."""
        return self.capacity / self.rate

    def set_rate(self, rate: float) -> None:
        """Change the rate. A greater capacity is there at once, a smaller one cuts what is left."""
        self.rate = rate
        former, self.capacity = self.capacity, _capacity(rate)
        self._level = min(self._level + max(0.0, self.capacity - former), self.capacity)

    def seconds_until(self, amount: float, now: float, *, own: float = 0.0) -> float:
        """Return the time until so many units may be taken; 0 if they may be now.

        More units than the capacity may be taken from a full bucket. `own` of the units were taken
        for the same purpose already.
        """
        self._refill(now)
        missing = min(amount, self.capacity) - self._level - own
        return max(0.0, missing / self.rate)

    def take(self, amount: float) -> None:
        """Take units, or give them back if the amount is negative."""
        self._level = min(self.capacity, self._level - amount)

    def remaining(self, now: float) -> int:
        """Return the number of whole units that are left; 0 if the caller owes some."""
        self._refill(now)
        return max(0, math.floor(self._level))

    def seconds_until_full(self, now: float) -> float:
        """Return the time until nothing of the past matters any more."""
        return self.seconds_until(self.capacity, now)

    def _refill(self, now: float) -> None:
        elapsed = max(0.0, now - self._updated)
        self._level = min(self.capacity, self._level + elapsed * self.rate)
        self._updated = now


def _capacity(rate: float) -> float:
    return max(1.0, rate * BURST_SECONDS)
