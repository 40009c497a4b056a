"""PrefixStore: immutable blobs by SHA-256, durable once committed, verified on every read.

Layout of the folder:

    blobs/ab/abcdef...           committed bytes, under their digest
    staging/                     bytes that are still being written
    quarantine/blobs/abcdef...   bytes that were unknown to the database at a start
    store-id                     the id that the store shares with its database

All are on one file system, so that a commit is one rename.
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
from prefixes.staging import StagedBlob

_FOLDER_LETTERS: Final = 2
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_PROGRAM: Final = tuple(
    Path(__file__).parents[1] / package for package in ("prefixes", "server", "training")
)
"""Our import packages. A store inside one of them would be lost with the next installation."""

_log = logging.getLogger(__name__)


class PrefixStore:
    """A local folder of blobs. Safe to use from many threads and processes."""

    def __init__(self, folder: Path, *, max_bytes: int = MAX_FILE_BYTES) -> None:
        """Open the folder, which is created if it is missing. `max_bytes` limits a single blob.

        Raises:
            StoreUnavailable: when the folder cannot be created, or is inside the program.
        """
        folder = folder.absolute()
        for package in _PROGRAM:
            if folder.resolve().is_relative_to(package.resolve()):
                raise StoreUnavailable(
                    f"{folder} is inside the program's package {package.name!r} and would be lost "
                    "when the program is replaced: choose another folder"
                )
        self.folder = folder
        self._blobs = folder / "blobs"
        self._staging = folder / "staging"
        self._quarantine = Quarantine(folder / "quarantine" / "blobs")
        self._id_file = folder / "store-id"
        self._max_bytes = max_bytes
        for path in (self._blobs, self._staging):
            with disk("create the folder", path):
                make_folder(path)
        for name in ("blobs", "staging", "quarantine", "trainings", "batches"):
            tighten(folder / name)

    def id(self) -> str | None:
        """Read the id that the store shares with its database; None if it has no id yet.

        Raises:
            StoreUnavailable: when the id cannot be read.
        """
        with disk("read", self._id_file):
            try:
                return self._id_file.read_text(encoding="utf-8").strip() or None
            except FileNotFoundError:
                return None

    def set_id(self, store_id: str) -> None:
        """Write the id durably.

        Raises:
            StoreUnavailable: when the id cannot be written.
        """
        write_atomically(self._id_file, f"{store_id}\n", is_private=True)

    @contextmanager
    def stage(self) -> Iterator[StagedBlob]:
        """Open a file for new bytes. Unless it is committed within the context, it is removed.

        Raises:
            StoreUnavailable: when the file cannot be created.
        """
        path = self._staging / uuid.uuid4().hex
        with disk("create", path):
            file = FileIO(path, "x+", opener=open_private)
        try:
            yield StagedBlob(path, file, self._max_bytes)
        finally:
            file.close()
            with disk("remove", path):
                path.unlink(missing_ok=True)  # a commit has moved it

    def commit(self, staged: StagedBlob) -> None:
        """Store the staged bytes under their digest, durably.

        An existing blob is replaced by the same bytes, which repairs damage on disk.

        Raises:
            StoreUnavailable: when the bytes cannot be stored.
        """
        path = self._path(staged.digest)
        with disk("commit", path):
            make_folder(path.parent)
            staged.move_to(path)
            sync_folder(path.parent)
        self._quarantine.remove(staged.digest)

    def get(self, digest: str) -> bytes:
        """Read a blob and verify its digest.

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
        """Verify and open a blob. The caller closes the file.

        The file stays readable if the blob is deleted meanwhile.

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
        """Delete a blob, in quarantine too; do nothing if it does not exist.

        Raises:
            StoreUnavailable: when it cannot be deleted.
        """
        path = self._path(digest)
        with disk("delete", path):
            path.unlink(missing_ok=True)
        self._quarantine.remove(digest)

    def digests(self) -> frozenset[str]:
        """List the digests of all blobs."""
        with disk("list", self._blobs):
            # Faster than `glob`, which makes a Path of each name; every start lists all blobs.
            names = [
                entry.name
                for folder in self._blobs.iterdir()
                if len(folder.name) == _FOLDER_LETTERS and folder.is_dir()
                for entry in os.scandir(folder)
            ]
        return frozenset(name for name in names if _DIGEST.fullmatch(name))

    def quarantined(self) -> frozenset[str]:
        """List the digests of the blobs in quarantine."""
        return self._quarantine.names()

    def sweep(
        self,
        known: AbstractSet[str],
        deleted: Mapping[str, float],
        *,
        older_than_seconds: float,
        now: float,
    ) -> int:
        """Clean up after crashes. Returns the number of files that were removed or quarantined.

        Two kinds of files are removed: staged files, and blobs that were not stored again after
        their deletion. Blobs that are neither known nor deleted move to quarantine. Files changed
        after `now - older_than_seconds` are skipped, because another process may be writing them.

        Args:
            known: digests that a version refers to.
            deleted: digests of deleted versions, with the time in seconds since the epoch.
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
            raise InvalidName(f"Invalid digest {digest[:80]!r}: expected 64 hexadecimal digits")
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
        return float("inf")  # another process removed it: nothing is left to sweep
