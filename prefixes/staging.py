"""StagedBlob: bytes that a store is receiving, and the folder that holds them meanwhile."""

import hashlib
import logging
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from prefixes.disk import disk, make_folder, modified, open_private
from prefixes.errors import PrefixRejected
from prefixes.findings import Finding

_log = logging.getLogger(__name__)


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
    def name(self) -> str:
        """A name that no other staged bytes have."""
        return self._path.name

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

    def sync(self) -> None:
        """Make the bytes written so far durable."""
        with disk("write", self._path):
            os.fsync(self._file.fileno())

    def move_to(self, path: Path) -> None:
        """Make the bytes durable, then move them to `path` in one step. Called by `LocalStore`."""
        now = time.time_ns()
        os.utime(self._file.fileno(), ns=(now, now))  # `sweep` compares this with deletions
        os.fsync(self._file.fileno())
        self._path.replace(path)


class StagingFolder:
    """A local folder of staged bytes. Safe to use from many threads and processes.

    Every method raises StoreUnavailable when the disk fails.
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        with disk("create the folder", folder):
            make_folder(folder)

    @contextmanager
    def stage(self) -> Iterator[StagedBlob]:
        """Open a file for new bytes, which is removed at the end unless it was moved."""
        path = self._folder / uuid.uuid4().hex
        with disk("create", path):
            file = FileIO(path, "x+", opener=open_private)
        try:
            yield StagedBlob(path, file, self._max_bytes)
        finally:
            file.close()
            with disk("remove", path):
                path.unlink(missing_ok=True)  # a commit may have moved it

    def sweep(self, latest: float) -> int:
        """Remove the files that were last written at that time or before; return their number."""
        with disk("sweep", self._folder):
            abandoned = [path for path in self._folder.iterdir() if modified(path) <= latest]
            for path in abandoned:
                path.unlink(missing_ok=True)
                _log.info("removed the abandoned file %s", path)
        return len(abandoned)
