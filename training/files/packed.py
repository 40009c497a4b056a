"""Sequences of many small values that take only a few bytes each.

As Python objects, a row takes several hundred bytes, however short it is: a file of 30 MiB with
short rows would take gigabytes. Packed values are stored as bytes and unpickled on access.
"""

import pickle
from abc import abstractmethod
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar, overload

T = TypeVar("T")

_PROTOCOL: Final = 5


class LazySequence(Sequence[T]):
    """A sequence that creates its values on access. It equals any sequence of equal values."""

    __slots__ = ()

    @abstractmethod
    def at(self, place: int) -> T:
        """Return the value at an index."""

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        """Return one value, or a list for a slice."""
        places = range(len(self))[index]
        return list(map(self.at, places)) if isinstance(places, range) else self.at(places)

    def __iter__(self) -> Iterator[T]:
        return map(self.at, range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LazySequence | tuple | list):
            return NotImplemented
        return len(self) == len(other) and all(
            mine == theirs for mine, theirs in zip(self, other, strict=True)
        )

    __hash__ = None  # type: ignore[assignment]  # such sequences are mutable

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self[:3]}{', ...' if len(self) > 3 else ''})"


class PackedList(LazySequence[T]):
    """A list of plain values that stores them as bytes."""

    __slots__ = ("_data", "_ends")

    def __init__(self, values: Iterable[T] = ()) -> None:
        self._data = bytearray()
        self._ends = array("Q")
        for value in values:
            self.append(value)

    def append(self, value: T) -> None:
        """Add a value at the end."""
        self._data += pickle.dumps(value, _PROTOCOL)
        self._ends.append(len(self._data))

    def __len__(self) -> int:
        return len(self._ends)

    def at(self, place: int) -> T:
        """Return a value that equals the appended one."""
        start = self._ends[place - 1] if place else 0
        # Safe to unpickle: this process wrote the bytes itself.
        value: Any = pickle.loads(memoryview(self._data)[start : self._ends[place]])  # noqa: S301
        return value  # type: ignore[no-any-return]
