"""StagedBlob: bytes that a store is receiving."""

import hashlib
import os
import time
from io import FileIO
from pathlib import Path

from prefixes.disk import disk
from prefixes.errors import PrefixRejected
from prefixes.findings import Finding


class StagedBlob:
    """Bytes that are written in chunks, and hashed and counted meanwhile."""

    def __init__(self, path: Path, file: FileIO, max_bytes: int) -> None:
        self._path = path
        self._file = file
        self._max_bytes = max_bytes
        self._hash = hashlib.sha256()
        self._size = 0

    def write(self, chunk: bytes) -> None:
        """Append a chunk.

        Raises:
            PrefixRejected: with the finding `too_large` as soon as the limit is exceeded.
            StoreUnavailable: when it cannot be written.
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
        """The SHA-256 of the bytes written so far, as 64 hexadecimal digits."""
        return self._hash.hexdigest()

    @property
    def size(self) -> int:
        """The number of bytes written so far."""
        return self._size

    def read(self) -> bytes:
        """Return the bytes written so far."""
        with disk("read", self._path):
            self._file.seek(0)
            return self._file.readall()

    def move_to(self, path: Path) -> None:
        """Make the bytes durable, then move them to `path` in one step. Called by the store."""
        now = time.time_ns()
        os.utime(self._file.fileno(), ns=(now, now))  # `sweep` compares this with deletions
        os.fsync(self._file.fileno())
        self._path.replace(path)
