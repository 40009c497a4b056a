"""Streams: the threads that run batches, one on a GPU, on a CPU several side by side.

A batch that has all cores keeps them waiting for each other after every layer, and whatever else
the machine does in between holds all of them up. Batches that have a core or a few each do not.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Self, TypeVar

import torch

S = TypeVar("S")
T = TypeVar("T")

_MOST: Final = 4
"""Streams unless told otherwise: each takes its turn of the interpreter between two layers."""


class Streams:
    """Threads for `num` batches at once. On a CPU they share its `num_threads`."""

    def __init__(self, num: int, *, num_threads: int | None = None) -> None:
        self.num = num
        self._num_threads = num_threads
        self._threads = ThreadPoolExecutor(num, thread_name_prefix="device")

    @classmethod
    def on(cls, device: torch.device, num: int | None = None) -> "Streams":
        """Make what suits a device: `num` streams, or as many as do well.

        A GPU runs one batch at a time. No stream has less than one of a CPU's threads.
        """
        if device.type != "cpu":
            return cls(1)
        num_threads = torch.get_num_threads()
        return cls(min(num or _MOST, num_threads), num_threads=num_threads)

    def submit(self, call: Callable[[], T], *, is_alone: bool = False) -> Future[T]:
        """Call on a stream; one that is alone gets all the threads, for as long as it runs."""
        return self._threads.submit(self._call, call, is_alone)

    def map(self, function: Callable[[S], T], items: Sequence[S]) -> Iterator[T]:
        """Call a function of each item side by side; give what comes of them in their order.

        What is alone runs where it was called, with all the threads.
        """
        if self.num == 1 or len(items) == 1:
            return map(function, items)
        futures = [self.submit(lambda item=item: function(item)) for item in items]  # type: ignore[misc]
        return (future.result() for future in futures)

    def close(self) -> None:
        """End the threads once they are done."""
        self._threads.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, call: Callable[[], T], is_alone: bool) -> T:  # noqa: FBT001 - as executors pass it
        if self._num_threads is not None:
            torch.set_num_threads(self._num_threads if is_alone else self.num_threads_of_each)
        return call()

    @property
    def num_threads_of_each(self) -> int:
        """Give the CPU threads of a stream beside others."""
        return max(1, (self._num_threads or 1) // self.num)
