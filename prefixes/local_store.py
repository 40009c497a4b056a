"""LocalStore: prefix files in a local folder.

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
import shutil
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Final

from prefixes.atomic import write_atomically
from prefixes.disk import check_outside_program, disk, make_folder, modified, sync_folder, tighten
from prefixes.errors import StoreUnavailable
from prefixes.file import MAX_FILE_BYTES
from prefixes.quarantine import Quarantine
from prefixes.staging import StagedBlob, StagingFolder
from prefixes.store import DIGEST, check_bytes, check_digest, check_is_digest

_FOLDER_LETTERS: Final = 2
_log = logging.getLogger(__name__)


class LocalStore:
    """A `PrefixStore` in a local folder. Reads and writes are those of files."""

    def __init__(self, folder: Path, *, max_bytes: int = MAX_FILE_BYTES) -> None:
        """Open the folder, which is created if it is missing. `max_bytes` limits a single blob.

        Raises:
            StoreUnavailable: when the folder cannot be created, or is inside the program.
        """
        folder = check_outside_program(folder)
        self.folder = folder
        self._blobs = folder / "blobs"
        self._quarantine = Quarantine(folder / "quarantine" / "blobs")
        self._id_file = folder / "store-id"
        with disk("create the folder", self._blobs):
            make_folder(self._blobs)
        self._staging = StagingFolder(folder / "staging", max_bytes=max_bytes)
        for name in ("blobs", "staging", "quarantine", "trainings", "batches"):
            tighten(folder / name)

    @property
    def name(self) -> str:
        return str(self.folder)

    @property
    def free_bytes(self) -> int:
        return shutil.disk_usage(self.folder).free

    def id(self) -> str | None:
        with disk("read", self._id_file):
            try:
                return self._id_file.read_text(encoding="utf-8").strip() or None
            except FileNotFoundError:
                return None

    def set_id(self, store_id: str) -> None:
        write_atomically(self._id_file, f"{store_id}\n", is_private=True)

    def stage(self) -> AbstractContextManager[StagedBlob]:
        return self._staging.stage()

    @contextmanager
    def prepared(self, staged: StagedBlob) -> Iterator[None]:
        staged.sync()
        yield

    def commit(self, staged: StagedBlob) -> None:
        """Move the staged file into place. An existing blob is replaced by the same bytes."""
        path = self._path(staged.digest)
        with disk("commit", path):
            make_folder(path.parent)
            staged.move_to(path)
            sync_folder(path.parent)
        self._quarantine.remove(staged.digest)

    def get(self, digest: str) -> bytes:
        path = self._path(digest)
        with self._opened(path) as file, disk("read", path):
            data = file.read()
        return check_bytes(path, digest, data)

    def open(self, digest: str) -> BufferedReader:
        path = self._path(digest)
        file = self._opened(path)
        try:
            with disk("read", path):
                found = hashlib.file_digest(file, "sha256").hexdigest()
                num_bytes = file.tell()
                file.seek(0)
            check_digest(path, digest, found, num_bytes)
        except StoreUnavailable:
            file.close()
            raise
        return file

    def delete(self, digest: str) -> None:
        path = self._path(digest)
        with disk("delete", path):
            path.unlink(missing_ok=True)
        self._quarantine.remove(digest)

    def digests(self) -> frozenset[str]:
        with disk("list", self._blobs):
            # Faster than `glob`, which makes a Path of each name; every start lists all blobs.
            names = [
                entry.name
                for folder in self._blobs.iterdir()
                if len(folder.name) == _FOLDER_LETTERS and folder.is_dir()
                for entry in os.scandir(folder)
            ]
        return frozenset(name for name in names if DIGEST.fullmatch(name))

    def quarantined(self) -> frozenset[str]:
        return self._quarantine.names()

    def trainings(self) -> frozenset[str]:
        folder = self.folder / "trainings"
        with disk("list", folder):
            found = folder.iterdir() if folder.is_dir() else ()
            return frozenset(path.name for path in found)

    def sweep(
        self,
        known: AbstractSet[str],
        deleted: Mapping[str, float],
        *,
        older_than_seconds: float,
        now: float,
    ) -> int:
        latest = now - older_than_seconds
        num_staged = self._staging.sweep(latest)
        with disk("sweep", self._blobs):
            orphans = [self._path(digest) for digest in self.digests() - known]
            orphans = [path for path in orphans if modified(path) <= latest]
        for path in orphans:
            if modified(path) <= deleted.get(path.name, float("-inf")):
                with disk("sweep", path):
                    path.unlink(missing_ok=True)
                _log.info("removed the abandoned file %s", path)
            else:
                self._quarantine.add(path)
        return num_staged + len(orphans)

    def _opened(self, path: Path) -> BufferedReader:
        with disk("read", path):
            try:
                return path.open("rb")
            except FileNotFoundError:
                self._quarantine.restore(path)
                return path.open("rb")

    def _path(self, digest: str) -> Path:
        return self._blobs / check_is_digest(digest)[:_FOLDER_LETTERS] / digest
