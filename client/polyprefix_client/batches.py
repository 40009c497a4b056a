"""Batch files on the server: their state, and the lines of their results."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from polyprefix_client.errors import Problem
from polyprefix_client.trainings import FINISHED


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch file. `error` is set once the whole file has failed.

    Attributes:
        num_rows: the number of rows; None until the server has counted them.
        num_done: rows with a result or an error.
        num_failed: rows with an error.
    """

    id: str
    tenant: str
    model: str | None
    options: dict[str, Any]
    format: str
    state: str
    is_cancelling: bool
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    num_rows: int | None
    num_done: int
    num_failed: int
    result_bytes: int
    error: Problem | None

    @property
    def is_finished(self) -> bool:
        """Whether the batch has succeeded, failed or been canceled."""
        return self.state in FINISHED


class LineSplitter:
    """Splits a download into lines, and knows where a broken download continues."""

    def __init__(self) -> None:
        self._num_bytes = 0
        self._rest = b""

    def headers(self) -> dict[str, str]:
        """Return the header of the next request."""
        return {"Range": f"bytes={self._num_bytes}-"} if self._num_bytes else {}

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Return the lines that end in a piece."""
        self._num_bytes += len(piece)
        *lines, self._rest = (self._rest + piece).split(b"\n")
        return iter(lines)


def media_type_of(path: Path) -> str:
    """Return the `Content-Type` of a file of rows."""
    is_parquet = path.suffix.lower() == ".parquet"
    return "application/vnd.apache.parquet" if is_parquet else "application/jsonl"
