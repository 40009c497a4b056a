"""Rows of CSV and TSV. The header names the columns."""

import csv
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from training.errors import DataProblem
from training.files.rows import Row
from training.files.text_lines import numbered_lines

_CSV_LINE: Final = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


def csv_rows(path: Path, text: str) -> Iterator[Row | DataProblem]:
    header = text.partition("\n")[0]
    if ";" in header and "," not in header:
        yield DataProblem(
            path,
            1,
            "expected commas between cells, found semicolons: export the file with commas, or with "
            "tabs as a .tsv",
        )
        return
    # StringIO would take four bytes for each character.
    reader = csv.reader((found[0] for found in _CSV_LINE.finditer(text)), strict=True)
    try:
        yield from _headed(path, _numbered(reader))
    except _BrokenRecord as error:
        yield DataProblem(path, error.line, f"is not CSV: {error}")


def tsv_rows(path: Path, text: str) -> Iterator[Row | DataProblem]:
    records = (
        (number, line.removesuffix("\r").split("\t")) for number, line in numbered_lines(text)
    )
    return _headed(path, records)


def _headed(path: Path, records: Iterator[tuple[int, list[str]]]) -> Iterator[Row | DataProblem]:
    """Yield records as rows. The first record names the columns."""
    first, header = next(records, (1, []))
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        yield DataProblem(path, first, f"the header contains {twice[0]!r} more than once")
    for line, cells in records:
        if len(cells) == len(header):
            yield Row(path, line, dict(zip(header, cells, strict=True)))
        else:
            yield DataProblem(
                path, line, f"expected {len(header)} cells as in the header, found {len(cells)}"
            )


class _BrokenRecord(Exception):
    """A CSV record that cannot be read. `line` is its first line."""

    def __init__(self, line: int, end: int, error: csv.Error) -> None:
        begun = f"the record that begins here is broken at line {end}: " if end > line else ""
        super().__init__(f"{begun}{error}; close every quote, and double quotes within quotes")
        self.line = line


def _numbered(reader: Iterable[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Yield each record that is not blank, with its first line.

    Raises:
        _BrokenRecord: if a record cannot be read.
    """
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1  # type: ignore[attr-defined]  # csv gives its reader no type
    except csv.Error as error:
        raise _BrokenRecord(line, reader.line_num, error) from error  # type: ignore[attr-defined]
