"""The folders of jobs, which are trainings and batch files."""

import math
import os
import shutil
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Generic, TypeVar

from prefixes.disk import disk, make_folder, sync_folder
from prefixes.errors import StoreUnavailable
from prefixes.quarantine import Quarantine
from prefixes.registry import BucketSettings
from server.job_bucket import JobBucket
from server.job_mirrors import JobMirror

_ORPHAN_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class JobFolder:
    """The files of one job. Those in `constant` never change once they are there."""

    constant: ClassVar[frozenset[str]] = frozenset()

    saved_last: ClassVar[str | None] = None
    """The file that other servers must not see before all others."""
    shown: ClassVar[frozenset[str]] = frozenset()
    """The files that other servers show."""
    paged: ClassVar[frozenset[str]] = frozenset()
    """The files that are only appended to, and that `save` leaves out."""

    path: Path
    mirror: JobMirror | None = None
    """The files in a bucket; None if the folder is where they are kept."""

    def make(self) -> None:
        """Make the folder, readable by its owner alone: it holds the tenant's data."""
        make_folder(self.path.parent)
        self.path.mkdir(mode=0o700)

    def save(self) -> None:
        """Make the files available to every server, as far as they have changed.

        Raises:
            StoreUnavailable: when the bucket or the disk fails.
        """
        if self.mirror is not None:
            self.mirror.save(self.path, last=self.saved_last)

    def hand_over(self) -> None:
        """Save the files and release them, before another server may use them.

        Raises: as `save`.
        """
        self.save()
        self.release()

    def release(self) -> None:
        """Remove the local copies of files that are in the bucket."""
        if self.mirror is not None:
            shutil.rmtree(self.path, ignore_errors=True)

    def discard(self, is_chosen: Callable[[str], bool]) -> None:
        """Delete the files whose names are chosen. Errors are left to the removal of the folder."""
        with suppress(OSError, StoreUnavailable):
            for path in list(self.path.rglob("*")):
                if path.is_file() and is_chosen(path.relative_to(self.path).as_posix()):
                    path.unlink(missing_ok=True)
            if self.mirror is not None:
                self.mirror.discard(is_chosen)

    def remove(self) -> None:
        """Remove the folder and its files, if it exists.

        Raises:
            StoreUnavailable: when the bucket fails.
        """
        shutil.rmtree(self.path, ignore_errors=True)
        if self.mirror is not None:
            self.mirror.remove()

    def detach(self) -> None:
        """Put a copy in place of the folder, which processes of an earlier holder may still use.

        They have its files open, or work inside it. Their writes are lost with the old folder.

        Raises:
            StoreUnavailable: when the disk fails. A later call completes it.
        """
        if self.mirror is not None:
            return  # the folder has copies, which no other server uses
        copy, old = (self.path.with_name(f"{self.path.name}.{end}") for end in ("copy", "old"))
        shutil.rmtree(old, ignore_errors=True)
        with disk("copy", self.path):
            if self.path.exists():  # otherwise a crash came between the two steps
                shutil.rmtree(copy, ignore_errors=True)
                shutil.copytree(self.path, copy, copy_function=self._copy)
                self.path.rename(old)
            copy.rename(self.path)
            sync_folder(self.path.parent)
        shutil.rmtree(old, ignore_errors=True)

    def _copy(self, source: str, target: str) -> None:
        if Path(source).name in self.constant:
            os.link(source, target)
            return
        shutil.copy2(source, target)
        with Path(target).open("rb") as file:
            os.fsync(file.fileno())


FolderT = TypeVar("FolderT", bound=JobFolder)


class JobFolders(Generic[FolderT]):
    """One folder for each job, named by its id: next to the blobs of the store, or in a bucket.

    With a bucket, local folders have copies: one for a server that creates or runs a job, another
    for servers that show it.
    """

    def __init__(
        self,
        store_folder: Path,
        name: str,
        kind: type[FolderT],
        bucket: BucketSettings | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        store_folder = store_folder.absolute()
        self._quarantine = Quarantine(store_folder / "quarantine" / name)
        self._kind = kind
        self._clock = clock
        self._bucket = None if bucket is None else JobBucket(bucket, store_folder, name, kind.paged)
        self._root = store_folder / name if self._bucket is None else self._bucket.running

    def of(self, job_id: str) -> FolderT:
        """Return the folder of a job, which may not exist, to create or remove it."""
        mirror = None if self._bucket is None else self._bucket.mirror(job_id)
        return self._kind(self._root / job_id, mirror)

    def check_out(self, job_id: str) -> FolderT:
        """Return the folder of a job in which this server runs it, with all its files.

        Raises:
            StoreUnavailable: when the bucket or the disk fails.
        """
        folder = self.of(job_id)
        if folder.mirror is not None:
            folder.mirror.fetch(folder.path)
        return folder

    def view(self, job_id: str, *, is_final: bool) -> FolderT:
        """Return the folder of a job to show it, with what its server has saved.

        `is_final` says that the job has finished. Files of a bucket may be two seconds old.

        Raises:
            StoreUnavailable: when the bucket or the disk fails.
        """
        if self._bucket is None:
            return self.of(job_id)
        return self._kind(*self._bucket.view(job_id, self._kind.shown, is_final=is_final))

    def restore(self, known: AbstractSet[str]) -> None:
        """Bring back from quarantine the folders of jobs that the database has.

        Raises:
            StoreUnavailable: when the disk fails.
        """
        if self._bucket is not None:
            self._bucket.restore(known)
            return
        for name in self._quarantine.names() & known:
            self._quarantine.restore(self._root / name)

    def sweep(self, known: AbstractSet[str]) -> None:
        """Quarantine folders that the database does not have, except those still arriving.

        A folder still arrives while something in it changes, however long its upload takes.

        Raises:
            StoreUnavailable: when the disk fails.
        """
        if self._bucket is not None:
            self._bucket.sweep(known)
            return
        if not self._root.is_dir():
            return
        for path in self._root.iterdir():
            if path.name not in known and _changed_at(path) < self._clock() - _ORPHAN_SECONDS:
                self._quarantine.add(path)


def _changed_at(path: Path) -> float:
    """Return the time of the last change of a folder, which is older than that of its files."""
    try:
        return max(one.stat().st_mtime for one in (path, *path.rglob("*")))
    except FileNotFoundError:
        return math.inf  # removed meanwhile: the next sweep looks again
