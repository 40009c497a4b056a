"""PrefixStore: immutable bytes by sha256, durable once committed and verified whenever read.

Layout of the folder: `blobs/ab/abcdef...` holds committed bytes under their digest, `staging/`
what is still being written, `quarantine/blobs/abcdef...` bytes that the database did not know at a
start. All lie on one file system, so that a commit is one rename. `store-id` names the database
that the store belongs to.
"""

import hashlib
import logging
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Final

from prefixes.atomic import write_atomically
from prefixes.disk import disk, make_folder, open_private, sync_folder, tighten
from prefixes.errors import InvalidName, StoreCorrupted, StoreUnavailable
from prefixes.file import MAX_FILE_BYTES
from prefixes.quarantine import Quarantine
from prefixes.staging import Staged

_FOLDER_LETTERS: Final = 2
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_PROGRAM: Final = tuple(
    Path(__file__).parents[1] / package for package in ("prefixes", "server", "training")
)
"""Our import packages: a folder in one of them would vanish with the next installation."""

_log = logging.getLogger(__name__)


class PrefixStore:
    """A local folder of blobs. Safe to use from many threads and processes at once."""

    def __init__(self, folder: Path, *, max_bytes: int = MAX_FILE_BYTES) -> None:
        """Open the folder, made when it is missing; a single blob may have up to `max_bytes`.

        Raises:
            StoreUnavailable: when the folder cannot be made or lies inside the program.
        """
        folder = folder.absolute()
        for package in _PROGRAM:
            if folder.resolve().is_relative_to(package.resolve()):
                raise StoreUnavailable(
                    f"{folder} lies inside the program's own package {package.name!r} and would "
                    "be lost when the program is replaced: choose a folder elsewhere"
                )
        self.folder = folder
        self._blobs = folder / "blobs"
        self._staging = folder / "staging"
        self._quarantine = Quarantine(folder / "quarantine" / "blobs")
        self._id_file = folder / "store-id"
        self._max_bytes = max_bytes
        for path in (self._blobs, self._staging):
            with disk("make the folder", path):
                make_folder(path)
        for name in ("blobs", "staging", "quarantine", "trainings"):
            tighten(folder / name)

    def id(self) -> str | None:
        """Read the id that ties the store to a database; None when it has none yet.

        Raises:
            StoreUnavailable: when it cannot be read.
        """
        with disk("read", self._id_file):
            try:
                return self._id_file.read_text(encoding="utf-8").strip() or None
            except FileNotFoundError:
                return None

    def set_id(self, store_id: str) -> None:
        """Write the id durably.

        Raises:
            StoreUnavailable: when the disk does not take it.
        """
        write_atomically(self._id_file, f"{store_id}\n", is_private=True)

    @contextmanager
    def stage(self) -> Iterator[Staged]:
        """Open a place for new bytes; what is not committed inside the context is removed.

        Raises:
            StoreUnavailable: when the disk does not take another file.
        """
        path = self._staging / uuid.uuid4().hex
        with disk("create", path):
            file = FileIO(path, "x+", opener=open_private)
        try:
            yield Staged(path, file, self._max_bytes)
        finally:
            file.close()
            with disk("remove", path):
                path.unlink(missing_ok=True)  # after a commit it is no longer there

    def commit(self, staged: Staged) -> None:
        """Keep the staged bytes under their digest; when this returns, they survive a power cut.

        Bytes already there are replaced by the same bytes: a blob that decayed on disk is mended.

        Raises:
            StoreUnavailable: when the disk does not take them.
        """
        path = self._path(staged.digest)
        with disk("commit", path):
            make_folder(path.parent)
            staged.move_to(path)
            sync_folder(path.parent)
        self._quarantine.remove(staged.digest)

    def get(self, digest: str) -> bytes:
        """Read a blob and hold it against its digest.

        Raises:
            StoreCorrupted: when the bytes are no longer those that were committed.
            StoreUnavailable: when they are missing or cannot be read.
        """
        path = self._path(digest)
        with self._opened(path) as file, disk("read", path):
            data = file.read()
        _check_digest(path, digest, hashlib.sha256(data).hexdigest(), len(data))
        return data

    def open(self, digest: str) -> BufferedReader:
        """Open a blob that was checked against its digest; the caller closes the file.

        The open file stays whole when the blob is deleted meanwhile.

        Raises: as `get`.
        """
        path = self._path(digest)
        file = self._opened(path)
        try:
            with disk("read", path):
                found = hashlib.file_digest(file, "sha256").hexdigest()
                num_bytes = file.tell()
                file.seek(0)
            _check_digest(path, digest, found, num_bytes)
        except StoreUnavailable:
            file.close()
            raise
        return file

    def delete(self, digest: str) -> None:
        """Delete a blob, also from quarantine; do nothing if it is not there.

        Raises:
            StoreUnavailable: when the disk refuses.
        """
        path = self._path(digest)
        with disk("delete", path):
            path.unlink(missing_ok=True)
        self._quarantine.remove(digest)

    def digests(self) -> frozenset[str]:
        """The digests of all blobs that are there."""
        with disk("list", self._blobs):
            # Not `glob`, which makes a Path of each name: every start lists all blobs.
            names = [
                entry.name
                for folder in self._blobs.iterdir()
                if len(folder.name) == _FOLDER_LETTERS and folder.is_dir()
                for entry in os.scandir(folder)
            ]
        return frozenset(name for name in names if _DIGEST.fullmatch(name))

    def quarantined(self) -> frozenset[str]:
        """The digests of the blobs in quarantine."""
        return self._quarantine.names()

    def sweep(
        self,
        known: AbstractSet[str],
        deleted: Mapping[str, float],
        *,
        older_than_seconds: float,
        now: float,
    ) -> int:
        """Clean up after crashes; returns the number of files that were removed or set aside.

        Only files that are known to be abandoned are removed: staged files, and blobs that have
        not been stored again since they were deleted. Blobs that are neither known nor deleted
        move to quarantine. Files changed after `now - older_than_seconds` stay, because another
        process may be writing them.

        Args:
            known: digests that a version refers to.
            deleted: digests of deleted versions, and when that was, in seconds since the epoch.
            older_than_seconds: minimum age of a file.
            now: seconds since the epoch.
        """
        latest = now - older_than_seconds
        with disk("sweep", self._staging):
            stale = [path for path in self._staging.iterdir() if _modified(path) <= latest]
            orphans = [self._path(digest) for digest in self.digests() - known]
            orphans = [path for path in orphans if _modified(path) <= latest]
        for path in orphans:
            if _modified(path) <= deleted.get(path.name, float("-inf")):
                stale.append(path)
            else:
                self._quarantine.add(path)
        for path in stale:
            with disk("sweep", path):
                path.unlink(missing_ok=True)
            _log.info("removed the abandoned file %s", path)
        return len({*stale, *orphans})

    def _opened(self, path: Path) -> BufferedReader:
        with disk("read", path):
            try:
                return path.open("rb")
            except FileNotFoundError:
                self._quarantine.restore(path)
                return path.open("rb")

    def _path(self, digest: str) -> Path:
        if _DIGEST.fullmatch(digest) is None:
            raise InvalidName(f"{digest[:80]!r} is no digest: expected 64 hexadecimal digits")
        return self._blobs / digest[:_FOLDER_LETTERS] / digest


def _check_digest(path: Path, digest: str, found: str, num_bytes: int) -> None:
    if found != digest:
        raise StoreCorrupted(
            f"The blob {digest} is damaged: {path} holds {num_bytes} bytes with the sha256 "
            f"{found}; publish the same prefix file again, or restore it from a backup"
        )


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")  # somebody else has just removed it: nothing is left to sweep
