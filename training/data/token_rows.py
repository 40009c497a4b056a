"""Tagged texts in other forms than lists: CoNLL columns, one token per row, lists as text."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, groupby
from pathlib import Path
from typing import Any, Final, Self

from training.datasets.text_files import conll_columns
from training.errors import DataProblem
from training.examples import Columns
from training.files.cell_literals import parse_value
from training.files.row_readers import read_rows
from training.files.rows import Row, RowFile
from training.sources import Source, place_in
from training.tasks.phrases import from_columns

CONLL: Final = (".conll", ".txt", ".bio", ".iob")

_TOKENS: Final = ("tokens", "token", "words", "word")
_TAGS: Final = ("tags", "tag", "ner_tags", "ner_tag", "ner", "labels", "label")
_SENTENCES: Final = ("sentence_id", "sentence_idx", "sentence #", "sentence", "sent_id")
_LISTED: Final = frozenset({"tokens", "tags", "ner_tags", "choices", "entities", "answers"})
_MOST_TOKENS: Final = 1000
"""Maximum number of rows without any separator that may be a single text."""


def read_tagged(source: Source, columns: Columns) -> RowFile:
    """Read tagged texts in any form, as rows with lists.

    Raises:
        DataRejected: when it cannot be read.
    """
    if isinstance(source, Path) and source.suffix.lower() in CONLL:
        file = conll_columns(0, is_uniform=True)(source)
        cells = ((row, row.columns["tokens"], row.columns["tags"]) for row in file.rows)
        return replace(
            _remade(file, (_row(*three, columns) for three in cells)),
            tag_layout="a token per line from the first column; a tag each from the last",
        )
    file = read_rows(source)
    names = _TokenColumns.of(file.rows[0].columns, columns) if file.rows else None
    if names is None:
        return file
    joined = _remade(file, _texts_of_tokens(file, names, columns))
    return replace(joined, tag_layout=str(names))


def with_values(file: RowFile, columns: Columns) -> RowFile:
    """Parse lists and objects that cells contain as text: `['a', 'b']`."""
    names = {*_LISTED, columns.label}
    if not file.rows or not any(
        isinstance(cell, str) for name, cell in file.rows[0].columns.items() if name in names
    ):
        return file
    rows = (
        Row(row.file, row.line, {x: _value(x in names, cell) for x, cell in row.columns.items()})
        for row in file.rows
    )
    return _remade(file, rows)


def _value(is_listed: bool, cell: Any) -> Any:  # noqa: FBT001 - of a comprehension
    return parse_value(cell) if is_listed and isinstance(cell, str) else cell


def _is_name(cell: Any) -> bool:
    return isinstance(cell, str) and isinstance(parse_value(cell), str)


def _remade(file: RowFile, items: Iterable[Row | DataProblem]) -> RowFile:
    made = RowFile.of(file.path, chain(file.problems, items), file.sha256)
    return replace(made, tag_layout=file.tag_layout)


@dataclass(frozen=True, slots=True)
class _TokenColumns:
    """The columns of rows with one token each. Tags and sentences are optional."""

    token: str
    tag: str | None
    sentence: str | None

    def __str__(self) -> str:
        phrases = [f"a token per row {from_columns([self.token])}"]
        if self.tag is not None:
            phrases.append(f"a tag each {from_columns([self.tag])}")
        end = "at blank rows" if self.sentence is None else f"by column {self.sentence!r}"
        return "; ".join([*phrases, f"texts separated {end}"])

    @classmethod
    def of(cls, row: Mapping[str, Any], columns: Columns) -> Self | None:
        """Find columns by their usual names, in any case. Return None if rows are whole texts."""
        by_case = {name.strip().lower(): name for name in row}

        def find(given: str | None, usual: tuple[str, ...]) -> str | None:
            return given or next((by_case[name] for name in usual if name in by_case), None)

        token, tag = find(columns.text, _TOKENS), find(columns.label, _TAGS)
        if token is None or "entities" in row or not _is_name(row.get(token)):
            return None
        if tag is None:  # texts alone: a column that was named has whole ones
            return None if columns.text else cls(token, None, find(None, _SENTENCES))
        return cls(token, tag, find(None, _SENTENCES)) if _is_name(row.get(tag)) else None


def _texts_of_tokens(
    file: RowFile, names: _TokenColumns, columns: Columns
) -> Iterator[Row | DataProblem]:
    """Join the rows of each sentence, which ends at a new number, a blank line or a blank token."""
    texts = 0
    for _, group in groupby(_numbered(file, names), key=lambda pair: pair[0]):
        rows = [row for _, row in group]
        texts += 1
        tokens = [str(row.columns.get(names.token)) for row in rows]
        tags = None if names.tag is None else [str(row.columns.get(names.tag)) for row in rows]
        yield _row(rows[0], tokens, tags, columns)
    if texts == 1 and len(file.rows) > _MOST_TOKENS:
        yield DataProblem(
            file.path,
            None,
            f"has one token per row ({names.token!r}), and no ends of sentences: add a column "
            "sentence_id, or a blank line after each sentence",
        )


def _numbered(file: RowFile, names: _TokenColumns) -> Iterator[tuple[int, Row]]:
    """Yield each row with a token, and the number of its sentence."""
    number, previous, mark = 0, 0, None
    has_lines = place_in(file.path) == "line" and names.sentence is None
    for row in file.rows:
        found = str(row.columns.get(names.sentence) or "").strip() if names.sentence else ""
        is_new = bool(found) and found != mark
        is_blank = not str(row.columns.get(names.token) or "").strip()
        if is_new or is_blank or (has_lines and row.line > previous + 1):
            number += 1
        mark, previous = found or mark, row.line
        if not is_blank:
            yield number, row


def _row(first: Row, tokens: list[str], tags: list[str] | None, columns: Columns) -> Row:
    label = columns.label or "tags"
    return Row(
        first.file, first.line, {"tokens": tokens, **({} if tags is None else {label: tags})}
    )
