"""InputFile: the file with the rows of a batch."""

from dataclasses import dataclass
from pathlib import Path

from prefixes.disk import disk
from server.batch_files.errors import BatchFailed
from server.batch_files.input_rows import FileSummary, RowReader
from server.batch_files.models import MAX_MODELS
from server.batch_files.reading import open_rows, summarize
from server.batch_files.records import FileFormat


@dataclass(frozen=True, slots=True)
class InputFile:
    """Every method raises BatchFailed if the file is gone, StoreUnavailable if the disk fails."""

    path: Path
    file_format: FileFormat

    def summarize(self, *, max_rows: int) -> FileSummary:
        """Count the rows, and find which models they name.

        Raises:
            BatchFailed: when there are no rows, or too many rows or models.
        """
        self._check_exists()
        with disk("read", self.path):
            summary = summarize(self.path, self.file_format, max_models=MAX_MODELS)
        if not summary.num_rows:
            raise BatchFailed(422, "bad_upload", "The file has no rows. Send at least one.")
        if summary.num_rows > max_rows:
            raise _too_large(f"has {summary.num_rows} rows; at most {max_rows} are allowed")
        if len(summary.models) > MAX_MODELS:
            raise _too_large(f"names more than {MAX_MODELS} different models")
        return summary

    def open(self, offset: int) -> RowReader:
        """Open the file at the end of a row that was read before, or at 0."""
        self._check_exists()
        with disk("read", self.path):
            return open_rows(self.path, self.file_format, offset)

    def num_bytes(self) -> int:
        """Return the size of the file."""
        self._check_exists()
        with disk("read", self.path):
            return self.path.stat().st_size

    def _check_exists(self) -> None:
        if not self.path.exists():
            detail = "The rows of the batch are no longer there. Send the file again."
            raise BatchFailed(500, "store_corrupted", detail)


def _too_large(problem: str) -> BatchFailed:
    return BatchFailed(413, "too_many_inputs", f"The file {problem}. Split it.")
