"""Reserve: disk space for changes that free space, such as deletions on a full disk.

SQLite writes to its log before it deletes anything, which fails on a full disk.
"""

import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from prefixes.disk import open_private

_NUM_BYTES: Final = 2**20
"""A deletion writes about 20 pages of 4 KiB."""

_log = logging.getLogger(__name__)


class Reserve:
    """A file next to the database. Safe to use from many threads and processes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fill(self) -> None:
        """Allocate the space unless it is allocated; on a full disk, only log that."""
        try:
            if self._path.exists():
                return
            self._write()
        except OSError as error:
            _log.warning("could not reserve disk space for deletions: %s", error)
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def is_needed(self) -> bool:
        """Whether a reserve exists and the disk has less free space than the reserve holds."""
        return self._path.exists() and shutil.disk_usage(self._path).free < _NUM_BYTES

    def release(self) -> bool:
        """Free the space; return False if none was reserved."""
        try:
            self._path.unlink()
        except OSError:
            return False
        _log.warning("the disk is full: using the space reserved for deletions")
        return True

    def _write(self) -> None:
        with open(self._path, "wb", opener=open_private) as file:
            file.write(bytes(_NUM_BYTES))
            file.flush()
            os.fsync(file.fileno())
