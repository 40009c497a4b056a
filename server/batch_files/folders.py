"""The folders of batch files: the rows, the versions that answer them, and the results."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from server.batch_files.records import FileFormat
from server.job_folders import JobFolder, JobFolders


@dataclass(frozen=True, slots=True)
class BatchFolder(JobFolder):
    """The files of one batch."""

    constant: ClassVar[frozenset[str]] = frozenset({"rows.jsonl", "rows.parquet"})

    def rows(self, file_format: FileFormat) -> Path:
        return self.path / f"rows.{file_format}"

    @property
    def models(self) -> Path:
        """The versions that the names of models stood for when the file began to run."""
        return self.path / "models.json"

    @property
    def results(self) -> Path:
        return self.path / "results.jsonl"

    @property
    def crashes(self) -> Path:
        """The rows that are in flight, for the start after a kill."""
        return self.path / "crashes.json"

    def tidy(self) -> None:
        """Remove what a finished file does not need: the rows and which of them were in flight."""
        for path in (self.rows("jsonl"), self.rows("parquet"), self.crashes):
            with suppress(OSError):  # it is removed with the folder
                path.unlink(missing_ok=True)


class BatchFolders(JobFolders[BatchFolder]):
    """The folders of all batch files."""

    def __init__(self, store_folder: Path) -> None:
        super().__init__(store_folder, "batches", BatchFolder)
