"""PrefixStore: immutable bytes by sha256, durable once committed and verified whenever read.

Layout of the folder: `blobs/ab/abcdef...` holds committed bytes under their digest, `staging/`
what is still being written. Both lie on one file system, so that a commit is one rename.
"""

import hashlib
import os
import re
import uuid
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Final

from prefixes.errors import InvalidName, PrefixRejected, StoreCorrupted, StoreUnavailable
from prefixes.file import MAX_FILE_BYTES
from prefixes.findings import Finding

_FOLDER_LETTERS: Final = 2
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_PROGRAM: Final = tuple(
    Path(__file__).parents[1] / package for package in ("prefixes", "server", "training")
)
"""Our import packages: a folder in one of them would vanish with the next installation."""


class Staged:
    """Bytes on their way into a store: written in pieces, hashed and counted as they come."""

    def __init__(self, path: Path, file: FileIO, max_bytes: int) -> None:
        self._path = path
        self._file = file
        self._max_bytes = max_bytes
        self._hash = hashlib.sha256()
        self._size = 0

    def write(self, chunk: bytes) -> None:
        """Append a piece.

        Raises:
            PrefixRejected: with the finding `too_large` as soon as the limit is passed.
            StoreUnavailable: when the disk does not take it.
        """
        if self._size + len(chunk) > self._max_bytes:
            finding = Finding(
                "too_large", "file", f"at most {self._max_bytes} bytes", "more than that"
            )
            raise PrefixRejected((finding,))
        rest = memoryview(chunk)
        with _disk("write", self._path):
            while rest:
                rest = rest[self._file.write(rest) :]
        self._hash.update(chunk)
        self._size += len(chunk)

    @property
    def digest(self) -> str:
        """The sha256 of all that was written so far, as 64 hexadecimal digits."""
        return self._hash.hexdigest()

    @property
    def size(self) -> int:
        """The number of bytes written so far."""
        return self._size

    def read(self) -> bytes:
        """All that was written so far."""
        with _disk("read", self._path):
            self._file.seek(0)
            return self._file.readall()

    def move_to(self, path: Path) -> None:
        """For the store: make the bytes durable, then let them appear at `path` in one step."""
        os.fsync(self._file.fileno())
        self._path.replace(path)


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
        self._blobs = folder / "blobs"
        self._staging = folder / "staging"
        self._max_bytes = max_bytes
        for path in (self._blobs, self._staging):
            with _disk("make the folder", path):
                _make_folder(path)

    @contextmanager
    def stage(self) -> Iterator[Staged]:
        """Open a place for new bytes; what is not committed inside the context is removed.

        Raises:
            StoreUnavailable: when the disk does not take another file.
        """
        path = self._staging / uuid.uuid4().hex
        with _disk("create", path):
            file = FileIO(path, "x+")
        try:
            yield Staged(path, file, self._max_bytes)
        finally:
            file.close()
            with _disk("remove", path):
                path.unlink(missing_ok=True)  # after a commit it is no longer there

    def commit(self, staged: Staged) -> None:
        """Keep the staged bytes under their digest; when this returns, they survive a power cut.

        Bytes already there are replaced by the same bytes: a blob that decayed on disk is mended.

        Raises:
            StoreUnavailable: when the disk does not take them.
        """
        path = self._path(staged.digest)
        with _disk("commit", path):
            _make_folder(path.parent)
            staged.move_to(path)
            _sync_folder(path.parent)

    def get(self, digest: str) -> bytes:
        """Read a blob and hold it against its digest.

        Raises:
            StoreCorrupted: when the bytes are no longer those that were committed.
            StoreUnavailable: when they are missing or cannot be read.
        """
        path = self._path(digest)
        with _disk("read", path):
            data = path.read_bytes()
        _check_digest(path, digest, hashlib.sha256(data).hexdigest(), len(data))
        return data

    def verified(self, digest: str) -> Path:
        """Hold a blob against its digest and give its path, for readers who want it in pieces.

        Raises: as `get`.
        """
        path = self._path(digest)
        with _disk("read", path), path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            num_bytes = file.tell()
        _check_digest(path, digest, found, num_bytes)
        return path

    def delete(self, digest: str) -> None:
        """Remove a blob; one that is not there is as good as removed.

        Raises:
            StoreUnavailable: when the disk refuses.
        """
        path = self._path(digest)
        with _disk("delete", path):
            path.unlink(missing_ok=True)

    def digests(self) -> frozenset[str]:
        """The digests of all blobs that are there."""
        with _disk("list", self._blobs):
            # Not `glob`, which makes a Path of each name: every start lists all blobs.
            names = [
                entry.name
                for folder in self._blobs.iterdir()
                if len(folder.name) == _FOLDER_LETTERS and folder.is_dir()
                for entry in os.scandir(folder)
            ]
        return frozenset(name for name in names if _DIGEST.fullmatch(name))

    def sweep(self, known: AbstractSet[str], *, older_than_seconds: float, now: float) -> int:
        """Remove what crashes left behind: staged files, and blobs that are not in `known`.

        Files changed after `now - older_than_seconds` (seconds since the epoch) stay, for
        another process may be writing them. Returns the number of removed files.
        """
        orphans = [self._path(digest) for digest in self.digests() - known]
        with _disk("sweep", self._staging):
            stale = [
                path
                for path in [*self._staging.iterdir(), *orphans]
                if _modified(path) <= now - older_than_seconds
            ]
            for path in stale:
                path.unlink(missing_ok=True)
        return len(stale)

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


@contextmanager
def _disk(action: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = "" if error.filename in {None, str(path)} else f" ({error.filename})"
        raise StoreUnavailable(
            f"Could not {action} {path}: {error.strerror or error}{where}; "
            "check that the folder exists, is writable and has free space"
        ) from error


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")  # somebody else has just removed it: nothing is left to sweep


def _make_folder(path: Path) -> None:
    """Make a folder and its parents; a new name is durable once the folder above is synced."""
    if path.is_dir():
        return
    _make_folder(path.parent)
    path.mkdir(exist_ok=True)
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
