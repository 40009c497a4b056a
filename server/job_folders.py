"""The folders of jobs, which are trainings and batch files."""

import math
import shutil
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

from prefixes.disk import make_folder
from prefixes.quarantine import Quarantine

_ORPHAN_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class JobFolder:
    """The files of one job."""

    path: Path

    def make(self) -> None:
        """Make the folder, readable by its owner alone: it holds the tenant's data."""
        make_folder(self.path.parent)
        self.path.mkdir(mode=0o700)

    def remove(self) -> None:
        """Remove the folder and its files, if it exists."""
        shutil.rmtree(self.path, ignore_errors=True)


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
