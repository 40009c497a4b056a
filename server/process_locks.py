"""Locked files that show to other processes of a machine whether a process lives.

The kernel unlocks the file when the process ends, however it ends.
"""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from prefixes.disk import make_folder, open_private

_log = logging.getLogger(__name__)


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
        while True:
            descriptor = open_private(str(path), os.O_WRONLY | os.O_CREAT)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            except OSError:
                os.close(descriptor)
                raise
            if os.fstat(descriptor).st_nlink:
                return cls(path, descriptor)
            os.close(descriptor)  # `remove_ended` came between the two steps

    def release(self) -> None:
        """Remove the file and unlock it."""
        with suppress(OSError):  # the unlocked file of an ended process is harmless
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


class ProcessLocks:
    """A folder with the locks of processes, of which this one has at most one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock: ProcessLock | None = None

    def take(self, name: str) -> None:
        """Show under a name that this process lives, instead of under an earlier one.

        If the disk fails, others must wait until they may assume that it has ended.
        """
        self.release()
        try:
            self._lock = ProcessLock.take(self._folder / name)
        except OSError as error:
            _log.warning(
                "cannot lock a file in %s (%s): after a crash, jobs wait until the lease expires",
                self._folder,
                error,
            )

    def release(self) -> None:
        """Stop showing that this process lives."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def has_ended(self, name: str) -> bool:
        """Return whether the process with a name has ended. False if it is not known."""
        return has_ended(self._folder / name)

    def remove_ended(self) -> None:
        """Remove the files of processes that have ended."""
        if not self._folder.is_dir():
            return
        for path in self._folder.iterdir():
            with _locked(path) as is_free:
                if is_free:
                    path.unlink(missing_ok=True)


def has_ended(path: Path) -> bool:
    """Return whether the process that locked a file has ended. False if the file is missing."""
    with _locked(path) as is_free:
        return is_free


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Lock a file while the block lasts, so that nobody else locks it before it is removed.

    Yields false if another process has locked it, or it is missing.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY)
    except OSError:
        yield False
        return
    try:
        yield _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
