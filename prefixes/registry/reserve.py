"""Reserve: disk space kept back for changes that free space, such as deletes on a full disk.

SQLite writes to its log before it deletes anything, which a full disk refuses.
"""

import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from prefixes.disk import open_private

_NUM_BYTES: Final = 2**20
"""A delete writes some 20 pages of 4 KiB."""

_log = logging.getLogger(__name__)


class Reserve:
    """A file next to the database. Safe to use from many threads and processes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fill(self) -> None:
        """Take the space unless it is taken already; on a full disk, do nothing."""
        try:
            if self._path.exists():
                return
            self._write()
        except OSError as error:
            _log.warning("no disk space is reserved for deletes: %s", error)
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def is_needed(self) -> bool:
        """Whether there is a reserve, and the disk has less free space than it would give back."""
        return self._path.exists() and shutil.disk_usage(self._path).free < _NUM_BYTES

    def release(self) -> bool:
        """Give the space back; False if there was none."""
        try:
            self._path.unlink()
        except OSError:
            return False
        _log.warning("the disk is full: the space reserved for deletes is in use")
        return True

    def _write(self) -> None:
        with open(self._path, "wb", opener=open_private) as file:
            file.write(bytes(_NUM_BYTES))
            file.flush()
            os.fsync(file.fileno())
