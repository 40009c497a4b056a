"""ResultFile: the results of a batch file, one line for each row, in order."""

import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Self

from prefixes.disk import disk, open_private


@dataclass(frozen=True, slots=True)
class ResultLine:
    """The line of one row. `is_failed` says that it has an error instead of a result."""

    data: bytes
    is_failed: bool


class ResultsLost(Exception):
    """The file has fewer bytes than its checkpoint says: it was damaged or not restored."""


class ResultFile:
    """Appends results. Opening the file cuts off the results after the last checkpoint.

    `close` may be called from another thread: when its task is cancelled, a write may still run.
    """

    def __init__(self, path: Path, file: FileIO, num_bytes: int) -> None:
        self._path = path
        self._file = file
        self._lock = threading.Lock()
        self.num_bytes = num_bytes

    @classmethod
    def open(cls, path: Path, num_bytes: int, *, confirm: Callable[[], object]) -> Self:
        """Open a file, or create it, to continue after so many bytes.

        `confirm` is called before it is changed; its exceptions go to the caller.

        Raises:
            ResultsLost: when it has fewer.
            StoreUnavailable: when the disk fails.
        """
        with disk("open", path):
            file = FileIO(os.fspath(path), "a+", opener=open_private)
        if os.fstat(file.fileno()).st_size < num_bytes:
            file.close()
            raise ResultsLost
        try:
            confirm()
            with disk("write", path):
                file.truncate(num_bytes)
        except BaseException:
            file.close()
            raise
        return cls(path, file, num_bytes)

    def append(self, lines: Iterable[ResultLine]) -> None:
        """Write lines. They are durable after `sync`.

        Raises:
            StoreUnavailable: when the disk fails.
        """
        data = b"".join(line.data for line in lines)
        rest = memoryview(data)
        with self._lock, disk("write", self._path):
            while rest:
                rest = rest[self._file.write(rest) :]
        self.num_bytes += len(data)

    def sync(self) -> None:
        """Make all lines survive a power failure.

        Raises:
            StoreUnavailable: when the disk fails.
        """
        with disk("write", self._path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file, after a write that runs."""
        with self._lock:
            self._file.close()
