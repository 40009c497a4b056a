"""Readers of batch files: rows from an offset on, in memory that does not grow with the file."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, Self

from server.batch_files.input_rows import (
    MAX_ROW_BYTES,
    FileSummary,
    InputRow,
    RowReader,
    model_of,
)
from server.batch_files.records import FileFormat

_BOM: Final = b"\xef\xbb\xbf"
_MODEL: Final = b'"model"'
_ESCAPE: Final = b"\\u"
"""A name of a member may be written with escapes."""


def open_rows(path: Path, file_format: FileFormat, offset: int) -> RowReader:
    """Open a file at the `end` of a row that was read before, or at 0.

    Raises:
        UnreadableFile: when it is Parquet, and damaged or with columns that no task reads.
    """
    if file_format == "parquet":
        from server.batch_files.parquet import ParquetRows  # noqa: PLC0415 - an optional package

        return ParquetRows.open(path, offset)
    return JsonLines.open(path, offset)


def summarize(path: Path, file_format: FileFormat, *, max_models: int) -> FileSummary:
    """Count the rows, and find which models they name.

    It stops counting models beyond `max_models`.

    Raises:
        UnreadableFile: as `open_rows`.
    """
    if file_format == "parquet":
        from server.batch_files.parquet import summarize_parquet  # noqa: PLC0415 - as above

        return summarize_parquet(path, max_models=max_models)
    return _summarize_lines(path, max_models)


class JsonLines:
    """Rows of a file with a JSON value in each line. Blank lines are skipped."""

    def __init__(self, file: BinaryIO, offset: int) -> None:
        self._file = file
        self._lines = _lines(file, offset)

    @classmethod
    def open(cls, path: Path, offset: int) -> Self:
        """Open a file. Offsets are bytes."""
        return cls(path.open("rb"), offset)

    def read(self, count: int) -> list[InputRow]:
        """Read the next rows."""
        return [_row(line, end) for line, end in islice(self._lines, count)]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _lines(file: BinaryIO, offset: int) -> Iterator[tuple[bytes | None, int]]:
    """Yield each line that is not blank, and where it ends; None for a line that is too long."""
    file.seek(offset)
    while line := file.readline(MAX_ROW_BYTES + 1):
        if offset == 0:
            offset, line = len(line), line.removeprefix(_BOM)
        else:
            offset += len(line)
        rest = line
        while not rest.endswith(b"\n") and (rest := file.readline(MAX_ROW_BYTES)):
            offset += len(rest)
        if len(line) > MAX_ROW_BYTES and not line.endswith(b"\n"):
            yield None, offset
        elif not line.isspace():
            yield line, offset


def _row(line: bytes | None, end: int) -> InputRow:
    if line is None:
        return InputRow(None, f"is longer than {MAX_ROW_BYTES} bytes", end)
    try:
        return InputRow(json.loads(_text(line), parse_constant=_reject_constant), None, end)
    except (ValueError, RecursionError) as error:
        return InputRow(None, f"is not valid JSON: {error}", end)


def _text(line: bytes) -> str:
    # `json` would read UTF-16, too, in which the summary finds no models.
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not valid UTF-8") from error


def _reject_constant(name: str) -> float:
    raise ValueError(f"{name} is not valid JSON")


def _summarize_lines(path: Path, max_models: int) -> FileSummary:
    models: set[str | None] = set()
    num_rows = 0
    with path.open("rb") as file:
        for line, end in _lines(file, 0):
            num_rows += 1
            if len(models) <= max_models:
                may_name_one = line is not None and (_MODEL in line or _ESCAPE in line)
                models.add(model_of(_row(line, end).value) if may_name_one else None)
    return FileSummary(num_rows, frozenset(models))
