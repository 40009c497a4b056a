"""The folders of batch files: the rows, the versions that answer them, and the results."""

import shutil
import time
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prefixes.disk import make_folder
from prefixes.quarantine import Quarantine
from server.batch_files.records import FileFormat

_ORPHAN_SECONDS: Final = 3600.0


class BatchFolders:
    """One folder for each batch file, named by its id, next to the blobs of the store."""

    def __init__(self, store_folder: Path) -> None:
        store_folder = store_folder.absolute()
        self._root = store_folder / "batches"
        self._quarantine = Quarantine(store_folder / "quarantine" / "batches")

    def of(self, batch_id: str) -> "BatchFolder":
        """Return the folder of a batch file, which may not exist."""
        return BatchFolder(self._root / batch_id)

    def restore(self, known: AbstractSet[str]) -> None:
        """Bring back from quarantine the folders of batch files that the database has.

        Raises:
            StoreUnavailable: when the disk fails.
        """
        for name in self._quarantine.names() & known:
            self._quarantine.restore(self._root / name)

    def sweep(self, known: AbstractSet[str]) -> None:
        """Quarantine folders that the database does not have, except those still arriving.

        Raises:
            StoreUnavailable: when the disk fails.
        """
        if not self._root.is_dir():
            return
        for path in self._root.iterdir():
            if path.name not in known and path.stat().st_mtime < time.time() - _ORPHAN_SECONDS:
                self._quarantine.add(path)


@dataclass(frozen=True, slots=True)
class BatchFolder:
    """The files of one batch."""

    path: Path

    def make(self) -> None:
        """Make the folder, readable by its owner alone: it holds the tenant's data."""
        make_folder(self.path.parent)
        self.path.mkdir(mode=0o700)

    def remove(self) -> None:
        """Remove the folder and its files, if it exists."""
        shutil.rmtree(self.path, ignore_errors=True)

    def rows(self, file_format: FileFormat) -> Path:
        return self.path / f"rows.{file_format}"

    @property
    def models(self) -> Path:
        """The versions that the names of models stood for when the file began to run."""
        return self.path / "models.json"

    @property
    def results(self) -> Path:
        return self.path / "results.jsonl"

    def tidy(self) -> None:
        """Remove what a finished file does not need: everything except the results."""
        for path in (self.rows("jsonl"), self.rows("parquet")):
            with suppress(OSError):  # it is removed with the folder
                path.unlink(missing_ok=True)
