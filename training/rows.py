"""Rows of JSONL and CSV files, each with the line where it begins; no meaning yet."""

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.errors import DataProblem, DataRejected


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file: its columns by name, as they stand there."""

    file: Path
    line: int
    columns: Mapping[str, Any]

    def problem(self, message: str) -> DataProblem:
        return DataProblem(self.file, self.line, message)


@dataclass(frozen=True, slots=True)
class RowFile:
    """A file's rows, the lines that are no rows, and the sha256 of its bytes."""

    path: Path
    rows: tuple[Row, ...]
    problems: tuple[DataProblem, ...]
    sha256: str


def read_rows(path: Path) -> RowFile:
    """Read a `.jsonl` or `.csv` file in UTF-8. Blank lines are skipped.

    Raises:
        DataRejected: when the file cannot be read as text of one of these kinds at all.
    """
    readers = {".jsonl": _jsonl, ".csv": _csv}
    if path.suffix not in readers:
        expected = " or ".join(readers)
        raise _unreadable(path, f"expected a {expected} file, found {path.suffix or 'no suffix'!r}")
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")  # spreadsheets begin their CSV with a byte order mark
    except OSError as error:
        raise _unreadable(path, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise _unreadable(path, "is not UTF-8 text", line) from error
    found = list(readers[path.suffix](path, text))
    rows = tuple(item for item in found if isinstance(item, Row))
    problems = tuple(item for item in found if isinstance(item, DataProblem))
    if not rows and not problems:
        problems = (DataProblem(path, None, "has no rows"),)
    return RowFile(path, rows, problems, hashlib.sha256(data).hexdigest())


def _unreadable(path: Path, message: str, line: int | None = None) -> DataRejected:
    return DataRejected((DataProblem(path, line, message),))


def _jsonl(path: Path, text: str) -> Iterator[Row | DataProblem]:
    # Not splitlines: JSON strings may hold U+2028 and its like as they are.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield DataProblem(path, number, f"is not JSON: {error}")
            continue
        if isinstance(value, dict):
            yield Row(path, number, value)
        else:
            yield DataProblem(path, number, "expected a JSON object, found another value")


def _csv(path: Path, text: str) -> Iterator[Row | DataProblem]:
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    records = _numbered(reader)
    try:
        _, header = next(records, (1, []))
        for line, cells in records:
            if len(cells) == len(header):
                yield Row(path, line, dict(zip(header, cells, strict=True)))
            else:
                yield DataProblem(
                    path, line, f"expected {len(header)} cells as in the header, found {len(cells)}"
                )
    except csv.Error as error:
        yield DataProblem(path, reader.line_num, f"is not CSV: {error}")


def _numbered(reader: Iterable[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Give each record that is not blank with the line where it begins."""
    line = 1
    for cells in reader:
        if cells:
            yield line, cells
        line = reader.line_num + 1  # type: ignore[attr-defined]  # csv gives its reader no type
