"""Rows of files and data sets, each with the place where it stands; no meaning yet.

Rows are read one after another and kept packed: a file's rows as Python objects would take many
times the memory of the file.
"""

import csv
import dataclasses
import hashlib
import json
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from prefixes.characters import first_surrogate
from training.errors import DataProblem, DataRejected
from training.files.charset import decode
from training.files.packed import LazySequence, PackedList
from training.files.tables import read_table
from training.sources import HubSource, Source

MAX_PROBLEMS: Final = 10_000
"""Problems of one file that are noted: each takes far more memory than the row it is about."""

_CSV_LINE: Final = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_BLANKS: Final = re.compile(r"[ \t\n\r]*")


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


class Rows(LazySequence[Row]):
    """The rows of one source, packed."""

    __slots__ = ("_columns", "_source", "lines")

    def __init__(self, source: Source) -> None:
        self._source = source
        self.lines = array("q")
        self._columns = PackedList[Mapping[str, Any]]()

    def append(self, row: Row) -> None:
        """Add a row of the same source."""
        self.lines.append(row.line)
        self._columns.append(row.columns)

    def __len__(self) -> int:
        return len(self.lines)

    def at(self, place: int) -> Row:
        """Make a row."""
        return Row(self._source, self.lines[place], self._columns.at(place))


@dataclass(frozen=True, slots=True)
class RowFile:
    """The rows of a source, the problems of invalid ones, and the SHA-256 of its bytes.

    That of a folder or a data set of the hub is of its rows as JSON. `tag_layout` says where
    tokens and tags were read from, where each token had a row of its own.
    """

    path: Source
    rows: Rows
    problems: tuple[DataProblem, ...]
    sha256: str
    tag_layout: str | None = None

    @classmethod
    def of(cls, source: Source, items: Iterable[Row | DataProblem], digest: str) -> "RowFile":
        """Sort what a reader finds into rows and problems; nothing at all is a problem, too.

        Reading ends at `MAX_PROBLEMS` of them.
        """
        rows = Rows(source)
        problems: list[DataProblem] = []
        for item in items:
            if isinstance(item, Row):
                rows.append(item)
                continue
            problems.append(item)
            if len(problems) == MAX_PROBLEMS:
                break
        if not rows and not problems:
            problems.append(DataProblem(source, None, "has no rows"))
        return cls(source, rows, tuple(problems), digest)


def read_rows(source: Source) -> RowFile:
    """Read all rows of a source. Text is UTF-8; blank lines are skipped.

    Of files it takes `.jsonl`, `.json` (an array of objects), `.csv`, `.tsv` (without quotes: a
    cell is what stands between two tabs) and `.parquet`; of folders what `save_to_disk` of the
    package `datasets` writes; and splits of data sets of the hub.

    Raises:
        DataRejected: when the source cannot be read as one of these kinds at all.
    """
    if isinstance(source, HubSource) or source.is_dir():
        file = RowFile.of(source, _tabular(source, read_table(source)), "")
        return dataclasses.replace(file, sha256=_digest_of_rows(file.rows))
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
    digest = hashlib.sha256(data).hexdigest()
    if suffix == ".parquet":
        return RowFile.of(source, _tabular(source, read_table(source)), digest)
    text = decode(source, data)
    del data
    return RowFile.of(source, readers[suffix](source, text), digest)


def _digest_of_rows(rows: Rows) -> str:
    """Give the sha256 of a JSON array of all rows."""
    digest = hashlib.sha256(b"[")
    for place, row in enumerate(rows):
        text = json.dumps(row.columns, sort_keys=True, default=repr)
        digest.update((f", {text}" if place else text).encode())
    digest.update(b"]")
    return digest.hexdigest()


def _unreadable(path: Path, message: str, line: int | None = None) -> DataRejected:
    return DataRejected((DataProblem(path, line, message),))


def _tabular(source: Source, columns: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    return (Row(source, number, each) for number, each in enumerate(columns, start=1))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Give each line that is not blank with its number, one at a time: a list would take more.

    Only a line feed ends a line: JSON strings may hold U+2028 and its like as they are.
    """
    start, number = 0, 1
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        line = text[start:end]
        if line.strip():
            yield number, line
        start, number = end + 1, number + 1


def _jsonl(path: Path, text: str) -> Iterator[Row | DataProblem]:
    for number, line in _lines(text):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield DataProblem(path, number, f"is not JSON: {error}")
            continue
        yield _object(path, number, value)


def _json(path: Path, text: str) -> Iterator[Row | DataProblem]:
    try:
        if not text.startswith("[", _after_blanks(text, 0)):
            json.loads(text)
            yield DataProblem(path, None, "expected an array of objects, found another value")
            return
        for number, value in enumerate(_array(text), start=1):
            yield _object(path, number, value)
    except (ValueError, RecursionError) as error:
        hint = "; name a file of one object a line .jsonl" if "Extra data" in str(error) else ""
        yield DataProblem(path, None, f"is not JSON: {error}{hint}")


def _array(text: str) -> Iterator[Any]:
    """Give the values of a JSON array one at a time: all of them at once would take far more.

    Raises:
        JSONDecodeError: where the text is not such an array.
    """
    decoder = json.JSONDecoder()
    place = _after_blanks(text, text.index("[") + 1)
    is_open = not text.startswith("]", place)
    while is_open:
        value, place = decoder.raw_decode(text, place)
        yield value
        place = _after_blanks(text, place)
        is_open = text.startswith(",", place)
        if is_open:
            place = _after_blanks(text, place + 1)
    if not text.startswith("]", place):
        raise json.JSONDecodeError("Expecting ',' delimiter", text, place)
    end = _after_blanks(text, place + 1)
    if end < len(text):
        raise json.JSONDecodeError("Extra data", text, end)


def _after_blanks(text: str, place: int) -> int:
    found = _BLANKS.match(text, place)
    assert found is not None
    return found.end()


def _object(path: Path, number: int, value: Any) -> Row | DataProblem:
    if not isinstance(value, dict):
        return DataProblem(path, number, "expected a JSON object, found another value")
    # In names of columns, labels and tags as well, which end up in files and replies.
    if _has_surrogate(value):
        broken = next(name for name, cell in value.items() if _has_surrogate([name, cell]))
        found = "half of a surrogate pair, which is not valid Unicode"
        return DataProblem(path, number, f"{broken!r}: expected text, found {found}")
    return Row(path, number, value)


def _has_surrogate(value: Any) -> bool:
    return first_surrogate(json.dumps(value, ensure_ascii=False)) is not None


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
    # Not StringIO, which takes four bytes for each character.
    reader = csv.reader((found[0] for found in _CSV_LINE.finditer(text)), strict=True)
    try:
        yield from _headed(path, _numbered(reader))
    except _BrokenRecord as error:
        yield DataProblem(path, error.line, f"is not CSV: {error}")


def _tsv(path: Path, text: str) -> Iterator[Row | DataProblem]:
    records = ((number, line.removesuffix("\r").split("\t")) for number, line in _lines(text))
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
