"""Disk operations of the store: private files, durable writes, and helpful errors."""

import errno
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from prefixes.errors import StoreFull, StoreUnavailable

_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600
_OTHERS: Final = 0o077
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_PROGRAM: Final = tuple(
    Path(__file__).parents[1] / package for package in ("prefixes", "server", "training")
)
"""Our import packages. A store inside one of them would be lost with the next installation."""

_log = logging.getLogger(__name__)


@contextmanager
def disk(action: str, path: Path) -> Iterator[None]:
    """Convert errors of the operating system to errors of the store.

    Raises:
        StoreFull: when the disk or a quota is full.
        StoreUnavailable: for every other OSError.
    """
    try:
        yield
    except OSError as error:
        kind = StoreFull if is_full(error) else StoreUnavailable
        where = "" if error.filename in {None, str(path)} else f" ({error.filename})"
        raise kind(
            f"Could not {action} {path}: {error.strerror or error}{where}; "
            "check that the folder exists, is writable and has free space"
        ) from error


def is_full(error: OSError) -> bool:
    """Say whether an operation failed because the disk or a quota is full."""
    return error.errno in _FULL


def check_outside_program(folder: Path) -> Path:
    """Return the absolute path of a folder that a store may use.

    Raises:
        StoreUnavailable: when it is inside the program.
    """
    for package in _PROGRAM:
        if folder.resolve().is_relative_to(package.resolve()):
            raise StoreUnavailable(
                f"{folder.absolute()} is inside the program's package {package.name!r} and would "
                "be lost when the program is replaced: choose another folder"
            )
    return folder.absolute()


def make_folder(path: Path) -> None:
    """Create a folder and its parents durably, accessible to the owner only."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(mode=_FOLDER_MODE, exist_ok=True)
    sync_folder(path.parent)


def modified(path: Path) -> float:
    """Return when a file was last written; infinity if another process has removed it."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def sync_folder(path: Path) -> None:
    """Flush a folder, so that new, moved and removed names survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_private(path: str, flags: int) -> int:
    """Open a file that only its owner may access; an `opener` for `open`."""
    return os.open(path, flags, _FILE_MODE)


def create_private(path: Path) -> None:
    """Create an empty file that only its owner may access, unless it exists."""
    os.close(open_private(str(path), os.O_CREAT | os.O_RDWR))


def tighten(path: Path) -> None:
    """Remove the permissions of other users from a file, or from a folder and its content."""
    if not path.exists() or not path.stat().st_mode & _OTHERS:
        return
    try:
        # The folder comes last: if this is interrupted, the next start retries.
        for found in (*path.rglob("*"), path):
            with suppress(FileNotFoundError):  # another process removed it
                found.chmod(stat.S_IMODE(found.stat().st_mode) & ~_OTHERS)
    except OSError as error:
        _log.warning("other users may read %s (%s): run `chmod -R go= %s`", path, error, path)
    else:
        _log.warning("other users could read %s: their permissions were removed", path)
