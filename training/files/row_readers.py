"""Reads the rows of a source of any format."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from training.errors import DataProblem, DataRejected
from training.files.charset import decode
from training.files.csv_rows import csv_rows, tsv_rows
from training.files.json_rows import json_rows, jsonl_rows
from training.files.rows import Row, RowFile, Rows
from training.files.tables import read_table
from training.sources import HubSource, Source

_READERS: Final = {".jsonl": jsonl_rows, ".json": json_rows, ".csv": csv_rows, ".tsv": tsv_rows}


def read_rows(source: Source) -> RowFile:
    """Read all rows of a source.

    A source is a file, a folder written by `save_to_disk` of the package `datasets`, or a split of
    a dataset of the hub. Formats of files are `.jsonl`, `.json` (an array of objects), `.csv`,
    `.tsv` (cells separated by tabs, without quotes) and `.parquet`. Text must be UTF-8. Blank
    lines are skipped.

    Raises:
        DataRejected: if the source cannot be read at all.
    """
    if isinstance(source, HubSource) or source.is_dir():
        file = RowFile.of(source, _tabular(source, read_table(source)), "")
        return dataclasses.replace(file, sha256=_digest_of_rows(file.rows))
    suffix = source.suffix.lower()
    if suffix not in {*_READERS, ".parquet"}:
        expected = ", ".join([*_READERS, ".parquet"])
        raise _unreadable(
            source,
            f"expected a file of {expected}, or .conll or .txt for token_classification, found "
            f"{source.suffix or 'no suffix'!r}",
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
    return RowFile.of(source, _READERS[suffix](source, text), digest)


def _digest_of_rows(rows: Rows) -> str:
    """Return the sha256 of a JSON array of all rows."""
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
