"""The folders of jobs, which are trainings and batch files."""

import math
import os
import shutil
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Generic, TypeVar

from prefixes.disk import disk, make_folder, sync_folder
from prefixes.quarantine import Quarantine

_ORPHAN_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class JobFolder:
    """The files of one job. Those in `constant` never change once they are there."""

    constant: ClassVar[frozenset[str]] = frozenset()

    path: Path

    def make(self) -> None:
        """Make the folder, readable by its owner alone: it holds the tenant's data."""
        make_folder(self.path.parent)
        self.path.mkdir(mode=0o700)

    def remove(self) -> None:
        """Remove the folder and its files, if it exists."""
        shutil.rmtree(self.path, ignore_errors=True)

    def detach(self) -> None:
        """Put a copy in place of the folder, which processes of an earlier holder may still use.

        They have its files open, or work inside it. Their writes are lost with the old folder.

        Raises:
            StoreUnavailable: when the disk fails. A later call completes it.
        """
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
    """One folder for each job, named by its id, next to the blobs of the store."""

    def __init__(
        self,
        store_folder: Path,
        name: str,
        make: Callable[[Path], FolderT],
        clock: Callable[[], float] = time.time,
    ) -> None:
        store_folder = store_folder.absolute()
        self._root = store_folder / name
        self._quarantine = Quarantine(store_folder / "quarantine" / name)
        self._make = make
        self._clock = clock

    def of(self, job_id: str) -> FolderT:
        """Return the folder of a job, which may not exist."""
        return self._make(self._root / job_id)

    def restore(self, known: AbstractSet[str]) -> None:
        """Bring back from quarantine the folders of jobs that the database has.

        Raises:
            StoreUnavailable: when the disk fails.
        """
        for name in self._quarantine.names() & known:
            self._quarantine.restore(self._root / name)

    def sweep(self, known: AbstractSet[str]) -> None:
        """Quarantine folders that the database does not have, except those still arriving.

        A folder still arrives while something in it changes, however long its upload takes.

        Raises:
            StoreUnavailable: when the disk fails.
        """
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
