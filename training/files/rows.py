"""Rows of one source, each with its line number. Rows have no meaning at this level.

Rows are kept packed: as Python objects, the rows of a file take many times its size in memory.
"""

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from training.errors import DataProblem
from training.files.packed import LazySequence, PackedList
from training.sources import Source

MAX_PROBLEMS: Final = 10_000
"""Maximum number of problems noted per file. A problem takes far more memory than its row."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a source: its unchanged cells by column name.

    `line` is the line of a text file where the row begins; elsewhere the row number, from 1.
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
        """Return a row."""
        return Row(self._source, self.lines[place], self._columns.at(place))


@dataclass(frozen=True, slots=True)
class RowFile:
    """The rows of a source, the problems found while reading, and the sha256 of its bytes.

    The digest of a folder or a dataset of the hub is that of its rows as JSON. If each token has
    a row of its own, `tag_layout` describes the columns of tokens and tags.
    """

    path: Source
    rows: Rows
    problems: tuple[DataProblem, ...]
    sha256: str
    tag_layout: str | None = None

    @classmethod
    def of(cls, source: Source, items: Iterable[Row | DataProblem], digest: str) -> "RowFile":
        """Separate the items of a reader into rows and problems. An empty source is a problem.

        Reading stops after `MAX_PROBLEMS` problems.
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
