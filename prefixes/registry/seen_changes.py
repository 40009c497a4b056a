"""SeenChanges: the number of the latest change that each process of a server has seen."""

import mmap
import threading
import time
from collections.abc import MutableSequence
from typing import Final, Self

MAX_PROCESSES: Final = 65
"""The process of the engine, and the maximum number of front ends."""
NUM_BYTES: Final = MAX_PROCESSES * 8


class SeenChanges:
    """Numbers that the processes of one server share, so that none is behind another.

    Each process writes its own number. A change that one of them has seen counts for all: none
    serves a result that is older. Safe to use from many threads.
    """

    def __init__(self, numbers: MutableSequence[int] | memoryview, place: int = 0) -> None:
        """Use the number at a place of a sequence.

        Args:
            numbers: the numbers of all processes; 0: the process has seen nothing yet.
            place: the place that only this process writes to.
        """
        self._numbers = numbers
        self._place = place
        self._lock = threading.Lock()
        self._noted_at = float("-inf")

    @classmethod
    def alone(cls) -> Self:
        """Make the number of a process that shares it with no other."""
        return cls([0])

    @classmethod
    def shared(cls, file: int, place: int) -> Self:
        """Use the numbers in an open file of `NUM_BYTES`, which all processes map."""
        # An aligned number of 8 bytes is read and written whole.
        return cls(memoryview(mmap.mmap(file, NUM_BYTES)).cast("Q"), place)

    def latest(self) -> int:
        """Return the highest number of all processes."""
        return max(self._numbers)

    def note(self, number: int) -> None:
        """Note a change that is committed."""
        with self._lock:
            self._noted_at = time.monotonic()
            self._numbers[self._place] = max(number, self._numbers[self._place])

    def replace(self, number: int, *, read_at: float) -> None:
        """Note the number that the database had at a moment of the monotonic clock.

        It is lower than before if the database lost changes, such as after a failover.
        """
        with self._lock:
            # A change may have been committed since the number was read.
            if number >= self._numbers[self._place] or read_at > self._noted_at:
                self._numbers[self._place] = number
