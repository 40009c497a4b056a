"""Inputs of large files and iterables: read one at a time, and grouped into batches."""

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from polyprefix_client.errors import InvalidRows
from polyprefix_client.predictions import Input

_MAX_BATCH_CHARACTERS: Final = 2**20
"""Maximum length of a batch. The server accepts bodies of 4 MiB by default."""

_DELIMITERS: Final = {".csv": ",", ".tsv": "\t"}
SUFFIXES: Final = (".jsonl", ".ndjson", ".csv", ".tsv", ".txt")


@dataclass(frozen=True, slots=True)
class InputBatch:
    """Adjacent inputs, and the position of the first one."""

    start: int
    inputs: tuple[Input, ...]

    def halves(self) -> tuple["InputBatch", "InputBatch"]:
        """Split the batch in two."""
        middle = len(self.inputs) // 2
        return (
            InputBatch(self.start, self.inputs[:middle]),
            InputBatch(self.start + middle, self.inputs[middle:]),
        )


def batches(inputs: Iterable[Input], size: int) -> Iterator[InputBatch]:
    """Group inputs into batches of a maximum size. Reads one batch at a time."""
    start, num_characters = 0, 0
    pending: list[Input] = []
    for one in inputs:
        length = _length(one)
        if pending and (len(pending) == size or num_characters + length > _MAX_BATCH_CHARACTERS):
            yield InputBatch(start, tuple(pending))
            start, pending, num_characters = start + len(pending), [], 0
        pending.append(one)
        num_characters += length
    if pending:
        yield InputBatch(start, tuple(pending))


def read_inputs(path: str | Path) -> Iterator[Input]:
    """Read the inputs of a file, one at a time.

    `.jsonl` has an object or a text in each line. `.csv` and `.tsv` have columns with the names of
    the task's fields in their first line. `.txt` has a text in each line. Columns that the task
    does not have, such as labels, must be left out by the caller.

    Raises:
        InvalidRows: when the extension is unknown or a line is invalid, with the line's number.
    """
    place = Path(path)
    suffix = place.suffix.lower()
    if suffix not in SUFFIXES:
        raise InvalidRows(
            f"Invalid file {place}: the extension must be one of {', '.join(SUFFIXES)}."
        )
    with place.open(encoding="utf-8-sig", newline="") as file:
        yield from _rows(file, suffix, place)


def _rows(file: IO[str], suffix: str, place: Path) -> Iterator[Input]:
    if suffix in _DELIMITERS:
        yield from csv.DictReader(file, delimiter=_DELIMITERS[suffix], strict=True)
        return
    for number, line in enumerate(file, start=1):
        text = line.strip("\r\n")
        if text.strip():
            yield text if suffix == ".txt" else _json_row(text, f"{place}:{number}")


def _json_row(text: str, where: str) -> Input:
    try:
        row: Any = json.loads(text)
    except ValueError as error:
        raise InvalidRows(f"{where}: the line is not valid JSON: {error}. Correct it.") from error
    if not isinstance(row, str | dict):
        raise InvalidRows(f"{where}: expected a text or an object; found {text[:80]!r}.")
    return row


def _length(one: Input) -> int:
    if isinstance(one, str):
        return len(one)
    return sum(len(str(value)) for value in one.values())
