"""Rows of files and data sets, each with the place where it stands; no meaning yet."""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.errors import DataProblem, DataRejected
from training.files.charset import decode
from training.files.tables import read_table
from training.sources import HubSource, Source


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a source: its columns by name, as they stand there.

    `line` is the line of a text file where it begins, elsewhere its number, from 1.
    """

    file: Source
    line: int
    columns: Mapping[str, Any]

    def problem(self, message: str) -> DataProblem:
        return DataProblem(self.file, self.line, message)


@dataclass(frozen=True, slots=True)
class RowFile:
    """A source's rows, what in it is no row, and the sha256 of its bytes.

    That of a folder or a data set of the hub is of its rows as JSON.
    """

    path: Source
    rows: tuple[Row, ...]
    problems: tuple[DataProblem, ...]
    sha256: str


def read_rows(source: Source) -> RowFile:
    """Read all rows of a source. Text is UTF-8; blank lines are skipped.

    Of files it takes `.jsonl`, `.json` (an array of objects), `.csv`, `.tsv` (without quotes: a
    cell is what stands between two tabs) and `.parquet`; of folders what `save_to_disk` of the
    package `datasets` writes; and splits of data sets of the hub.

    Raises:
        DataRejected: when the source cannot be read as one of these kinds at all.
    """
    if isinstance(source, HubSource) or source.is_dir():
        columns = read_table(source)
        text = json.dumps(columns, sort_keys=True, default=repr)
        return _file(source, _tabular(source, columns), text.encode())
    readers = {".jsonl": _jsonl, ".json": _json, ".csv": _csv, ".tsv": _tsv}
    suffix = source.suffix.lower()
    if suffix not in {*readers, ".parquet"}:
        expected = ", ".join([*readers, ".parquet"])
        raise _unreadable(
            source,
            f"expected a file of {expected}, and of tokens (.conll, .txt) for "
            f"token_classification, found {source.suffix or 'no suffix'!r}",
        )
    try:
        data = source.read_bytes()
    except OSError as error:
        raise _unreadable(source, f"cannot be read: {error.strerror}") from error
    if suffix == ".parquet":
        return _file(source, _tabular(source, read_table(source)), data)
    return _file(source, readers[suffix](source, decode(source, data)), data)


def _file(source: Source, items: Iterable[Row | DataProblem], data: bytes) -> RowFile:
    found = list(items)
    rows = tuple(item for item in found if isinstance(item, Row))
    problems = tuple(item for item in found if isinstance(item, DataProblem))
    if not found:
        problems = (DataProblem(source, None, "has no rows"),)
    return RowFile(source, rows, problems, hashlib.sha256(data).hexdigest())


def _unreadable(path: Path, message: str, line: int | None = None) -> DataRejected:
    return DataRejected((DataProblem(path, line, message),))


def _tabular(source: Source, columns: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    return (Row(source, number, each) for number, each in enumerate(columns, start=1))


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
        yield _object(path, number, value)


def _json(path: Path, text: str) -> Iterator[Row | DataProblem]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        hint = "; name a file of one object a line .jsonl" if "Extra data" in str(error) else ""
        yield DataProblem(path, None, f"is not JSON: {error}{hint}")
        return
    if not isinstance(values, list):
        yield DataProblem(path, None, "expected an array of objects, found another value")
        return
    for number, value in enumerate(values, start=1):
        yield _object(path, number, value)


def _object(path: Path, number: int, value: Any) -> Row | DataProblem:
    if isinstance(value, dict):
        return Row(path, number, value)
    return DataProblem(path, number, "expected a JSON object, found another value")


def _csv(path: Path, text: str) -> Iterator[Row | DataProblem]:
    header = text.partition("\n")[0]
    if ";" in header and "," not in header:
        yield DataProblem(
            path,
            1,
            "looks separated by semicolons, expected commas: export it with commas, or with tabs "
            "as a .tsv",
        )
        return
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        yield from _headed(path, _numbered(reader))
    except _BrokenRecord as error:
        yield DataProblem(path, error.line, f"is not CSV: {error}")


def _tsv(path: Path, text: str) -> Iterator[Row | DataProblem]:
    lines = (line.removesuffix("\r") for line in text.split("\n"))
    records = (
        (number, line.split("\t")) for number, line in enumerate(lines, start=1) if line.strip()
    )
    return _headed(path, records)


def _headed(path: Path, records: Iterator[tuple[int, list[str]]]) -> Iterator[Row | DataProblem]:
    """Give records as rows; the first of them names the columns."""
    first, header = next(records, (1, []))
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        yield DataProblem(path, first, f"the header has {twice[0]!r} more than once")
    for line, cells in records:
        if len(cells) == len(header):
            yield Row(path, line, dict(zip(header, cells, strict=True)))
        else:
            yield DataProblem(
                path, line, f"expected {len(header)} cells as in the header, found {len(cells)}"
            )


class _BrokenRecord(Exception):
    """A record of CSV that cannot be read; `line` is where it begins."""

    def __init__(self, line: int, end: int, error: csv.Error) -> None:
        begun = f"a record begins here and breaks at line {end}: " if end > line else ""
        super().__init__(f"{begun}{error}; look for a quote that is open, or not doubled")
        self.line = line


def _numbered(reader: Iterable[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Give each record that is not blank with the line where it begins.

    Raises:
        _BrokenRecord: when one cannot be read.
    """
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1  # type: ignore[attr-defined]  # csv gives its reader no type
    except csv.Error as error:
        raise _BrokenRecord(line, reader.line_num, error) from error  # type: ignore[attr-defined]
