"""The folders of batch files: the rows, the versions that answer them, and the results."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from prefixes.registry import BucketSettings
from server.batch_files.records import FileFormat
from server.job_folders import JobFolder, JobFolders


@dataclass(frozen=True, slots=True)
class BatchFolder(JobFolder):
    """The files of one batch."""

    paged: ClassVar[frozenset[str]] = frozenset({"results.jsonl"})

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
        self.discard(lambda name: name.startswith(("rows.", "crashes.")))

    def save_results(self, start: int, end: int) -> None:
        """Make the results between two bytes available to every server, like `save`."""
        if self.mirror is not None:
            self.mirror.save_pages(self.results, start, end)

    @property
    def seconds_between_checkpoints(self) -> float:
        """Minimum time between checkpoints. In a bucket, each one is a request or several."""
        return 0.0 if self.mirror is None else 5.0


class BatchFolders(JobFolders[BatchFolder]):
    """The folders of all batch files."""

    def __init__(self, store_folder: Path, bucket: BucketSettings | None = None) -> None:
        super().__init__(store_folder, "batches", BatchFolder, bucket)

    def results(self, batch_id: str, num_bytes: int) -> Path:
        """Return the file of the results, which has at least so many bytes.

        Raises:
            StoreUnavailable: when the bucket or the disk fails.
        """
        folder = self.view(batch_id, is_final=False)
        if folder.mirror is not None:
            folder.mirror.refresh_pages(folder.results, num_bytes)
        return folder.results
