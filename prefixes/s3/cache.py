"""BlobCache: local copies of blobs, within a byte budget."""

import hashlib
import logging
import os
import threading
import uuid
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from typing import Final

from prefixes.disk import disk, make_folder, open_private

_SLACK: Final = 0.1
"""Share of the budget that a listing of the folder frees, so that not every new copy lists it."""
_PARTIAL: Final = ".partial"

_log = logging.getLogger(__name__)


class BlobCache:
    """A folder of files that are named by their digest; the least recently used are evicted.

    It survives restarts. Several processes may share the folder: together they may exceed the
    budget by a tenth of it for each. A copy that cannot be written, or that is damaged, is only a
    miss, so a full disk does not fail a read.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._num_free = 0
        """Bytes that this process may add before it must list the folder."""
        with disk("create the folder", folder):
            make_folder(folder)

    def get(self, digest: str) -> bytes | None:
        """Return a blob; None if it is not here. A damaged copy is removed."""
        path = self._folder / digest
        try:
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() == digest:
                os.utime(path)  # the time of the last use
                return data
            _log.warning("removed the damaged copy %s; it will be fetched again", path)
            path.unlink(missing_ok=True)
        except FileNotFoundError:
            pass
        except OSError as error:
            _log.warning("cannot use the cached copy %s: %s", path, error)
        return None

    def open(self, digest: str, num_bytes: int) -> BufferedReader | None:
        """Open the copy of a blob that was just read; None if it is not here."""
        try:
            file = (self._folder / digest).open("rb")
        except OSError:
            return None
        if os.fstat(file.fileno()).st_size == num_bytes:
            return file
        file.close()
        return None

    def add(self, digest: str, data: bytes) -> None:
        """Keep a copy of a blob, unless it is larger than a tenth of the budget."""
        if len(data) > self._max_bytes * _SLACK:
            return
        partial = self._folder / f"{uuid.uuid4().hex}{_PARTIAL}"
        try:
            with open(partial, "wb", opener=open_private) as file:
                file.write(data)
            partial.replace(self._folder / digest)
        except OSError as error:
            _log.warning("cannot keep a copy of the blob %s in %s: %s", digest, self._folder, error)
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            return
        self._evict_for(len(data))

    def remove(self, digest: str) -> None:
        """Remove the copy of a deleted blob; later starts of other servers remove theirs."""
        with suppress(OSError):
            (self._folder / digest).unlink(missing_ok=True)

    def keep_only(self, known: AbstractSet[str]) -> None:
        """Remove all other copies, and what a crash left of one that was being written."""
        for entry, _ in self._entries():
            if entry.name not in known:
                with suppress(OSError):
                    Path(entry).unlink(missing_ok=True)

    def _evict_for(self, num_bytes: int) -> None:
        """Count a new copy, and evict others if the budget is exceeded."""
        with self._lock:
            self._num_free -= num_bytes
            if self._num_free >= 0:
                return
            found = sorted(self._entries(), key=lambda one: one[1].st_mtime)
            used = sum(status.st_size for _, status in found)
            for entry, status in found:
                if used <= self._max_bytes * (1 - _SLACK):
                    break
                with suppress(OSError):
                    Path(entry).unlink(missing_ok=True)
                used -= status.st_size
            self._num_free = int(self._max_bytes - used)

    def _entries(self) -> Iterator[tuple["os.DirEntry[str]", os.stat_result]]:
        with suppress(OSError), os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # another process removed it
                    yield entry, entry.stat()
