"""Streams: the threads that run batches: one on a GPU, several at a time on a CPU.

If a batch uses all cores, they wait for each other after every layer, and any other load on one
core delays all of them. Batches that use one or a few cores each avoid that.

On a CPU there is one more thread, the express lane. Its batch takes processor time from those of
the streams, so it suits a batch that is much shorter than theirs. Long batches and those of batch
files run at a lower priority, so that they do not delay a short batch, or the threads that read
requests, by more than these need.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Self, TypeVar

import torch

S = TypeVar("S")
T = TypeVar("T")

_DEFAULT: Final = 4
"""Default number of streams. They contend for the interpreter lock between layers."""

_LOW_NICENESS: Final = 5
"""Added to the nice value of threads that run batches at a lower priority. On one processor, Linux
gives them a quarter of the time while another thread of this process needs it, and all of it
otherwise.
"""


class Streams:
    """Threads for `num` concurrent batches. On a CPU, they share `num_threads` threads."""

    def __init__(self, num: int, *, num_threads: int | None = None) -> None:
        self.num = num
        self._num_threads = num_threads
        self._threads = _threads(num, "device")
        self._low = _threads(
            num, "device-low", niceness=0 if num_threads is None else _LOW_NICENESS
        )
        self._express = _threads(1, "express")

    @classmethod
    def on(cls, device: torch.device, num: int | None = None) -> "Streams":
        """Make `num` streams for a device, or its default number.

        A GPU runs one batch at a time. On a CPU, every stream has at least one thread.
        """
        if device.type != "cpu":
            return cls(1)
        num_threads = torch.get_num_threads()
        return cls(min(num or _DEFAULT, num_threads), num_threads=num_threads)

    def submit(
        self, call: Callable[[], T], *, is_alone: bool = False, gives_way: bool = False
    ) -> Future[T]:
        """Call on a stream.

        Args:
            call: runs a batch.
            is_alone: use the threads of all streams.
            gives_way: run at a lower priority, on a CPU under Linux.
        """
        num_threads = (self._num_threads or 1) if is_alone else self.num_threads_of_each
        # Only a privileged process may raise a priority again: long batches need their own threads.
        threads = self._low if gives_way else self._threads
        return threads.submit(self._call, call, num_threads)

    @property
    def has_express_lane(self) -> bool:
        """Whether a batch can share the processors with those of all streams."""
        return self._num_threads is not None

    def submit_express(self, call: Callable[[], T]) -> Future[T]:
        """Call on the express lane, on one CPU thread, while the streams are busy."""
        return self._express.submit(self._call, call, num_threads=1)

    def map(self, function: Callable[[S], T], items: Sequence[S]) -> Iterator[T]:
        """Call a function concurrently for each item; return the results in order.

        A single item runs in the calling thread and uses all threads.
        """
        if self.num == 1 or len(items) == 1:
            return map(function, items)
        futures = [self.submit(lambda item=item: function(item)) for item in items]  # type: ignore[misc]
        return (future.result() for future in futures)

    def close(self) -> None:
        """Stop the threads when their calls are done."""
        self._threads.shutdown()
        self._low.shutdown()
        self._express.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, call: Callable[[], T], num_threads: int) -> T:
        if self._num_threads is not None:
            torch.set_num_threads(num_threads)
        return call()

    @property
    def num_threads_of_each(self) -> int:
        """Return the number of CPU threads of a stream that runs with others."""
        return max(1, (self._num_threads or 1) // self.num)


def _threads(num: int, name: str, *, niceness: int = 0) -> ThreadPoolExecutor:
    """Make threads whose number of CPU threads can be set, and whose nice value is raised."""
    return ThreadPoolExecutor(
        num, thread_name_prefix=name, initializer=_start_thread, initargs=(niceness,)
    )


def _start_thread(niceness: int) -> None:
    # The first use of torch in a thread initializes its number of CPU threads, which would undo an
    # earlier setting.
    torch.get_num_threads()
    if niceness and sys.platform == "linux":  # elsewhere, nice values are of whole processes
        thread = threading.get_native_id()
        niceness += os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, niceness)  # the CPU threads it starts inherit it
