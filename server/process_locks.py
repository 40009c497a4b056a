"""ProcessLock: a locked file that shows to other processes of its machine whether this one lives.

The kernel unlocks the file when the process ends, however it ends.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Self

from prefixes.disk import make_folder, open_private


class ProcessLock:
    """A lock on a file, held until it is released or the process ends."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> Self:
        """Create and lock a file that no other process uses.

        Raises:
            OSError: when the disk fails, or the file system has no locks.
        """
        make_folder(path.parent)
        descriptor = open_private(str(path), os.O_WRONLY | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        return cls(path, descriptor)

    def release(self) -> None:
        """Remove the file and unlock it."""
        with suppress(OSError):  # the unlocked file of an ended process is harmless
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def has_ended(path: Path) -> bool:
    """Return whether the process that locked a file has ended. False if the file is missing."""
    try:
        descriptor = os.open(path, os.O_WRONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
