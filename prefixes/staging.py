"""Staged: bytes that a store is receiving."""

import hashlib
import os
import time
from io import FileIO
from pathlib import Path

from prefixes.disk import disk
from prefixes.errors import PrefixRejected
from prefixes.findings import Finding


class Staged:
    """Bytes on their way into a store: written in pieces, hashed and counted as they come."""

    def __init__(self, path: Path, file: FileIO, max_bytes: int) -> None:
        self._path = path
        self._file = file
        self._max_bytes = max_bytes
        self._hash = hashlib.sha256()
        self._size = 0

    def write(self, chunk: bytes) -> None:
        """Append a piece.

        Raises:
            PrefixRejected: with the finding `too_large` as soon as the limit is passed.
            StoreUnavailable: when the disk does not take it.
        """
        if self._size + len(chunk) > self._max_bytes:
            finding = Finding(
                "too_large", "file", f"at most {self._max_bytes} bytes", "more than that"
            )
            raise PrefixRejected((finding,))
        rest = memoryview(chunk)
        with disk("write", self._path):
            while rest:
                rest = rest[self._file.write(rest) :]
        self._hash.update(chunk)
        self._size += len(chunk)

    @property
    def digest(self) -> str:
        """The sha256 of all that was written so far, as 64 hexadecimal digits."""
        return self._hash.hexdigest()

    @property
    def size(self) -> int:
        """The number of bytes written so far."""
        return self._size

    def read(self) -> bytes:
        """All that was written so far."""
        with disk("read", self._path):
            self._file.seek(0)
            return self._file.readall()

    def move_to(self, path: Path) -> None:
        """For the store: make the bytes durable, then let them appear at `path` in one step."""
        now = time.time_ns()
        os.utime(self._file.fileno(), ns=(now, now))  # `sweep` compares it with later deletions
        os.fsync(self._file.fileno())
        self._path.replace(path)
