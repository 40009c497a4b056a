"""Runs a task of a server on a file of texts, for `predict`."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from polyprefix_client import Client, FailedInput, Input, Progress, read_inputs, to_json
from prefixes.atomic import atomic_file
from prefixes.template import InputTemplate
from server.command_line.place import ServerFlags, connect
from training.examples import Columns


def predict_remotely(
    name: str,
    data: Path,
    columns: Columns,
    server: ServerFlags,
    *,
    output: Path | None,
    options: Mapping[str, Any],
) -> None:
    """Write the predictions for the rows of a file as JSONL to a file or to standard output.

    Raises:
        PolyprefixError: when the server rejects the task or a row.
        InvalidRows: when the file cannot be read.
    """
    data.stat()
    with connect(server) as client:
        lines = _lines(client, name, data, columns, options)
        if output is None:
            sys.stdout.writelines(lines)
            return
        with atomic_file(output) as file:
            file.writelines(line.encode() for line in lines)


def _lines(
    client: Client, name: str, data: Path, columns: Columns, options: Mapping[str, Any]
) -> Iterator[str]:
    fields = InputTemplate.model_validate(client.prefixes.version(name).spec["input"]).fields
    rows = (_with_fields(row, fields, columns) for row in read_inputs(data))
    report = _show_progress if sys.stderr.isatty() else None
    results = client.predict_all(rows, model=name, on_progress=report, **options)
    for result in results:
        assert not isinstance(result, FailedInput)  # the first one ends the stream
        yield json.dumps(to_json(result), ensure_ascii=False) + "\n"
    if report is not None:
        typer.echo(err=True)  # ends the line of the progress


def _with_fields(row: Input, fields: Sequence[str], columns: Columns) -> Input:
    """Return the fields of the task from a row, which may have others, such as a label."""
    if isinstance(row, str):
        return row
    names = dict(zip(fields, (columns.text, columns.pair), strict=False))
    found = {field: names.get(field) or field for field in fields}
    missing = [column for column in found.values() if column not in row]
    if missing:
        raise typer.BadParameter(
            f"The rows have no column {missing[0]!r}, which the task needs. Rename the column, or "
            "name it with --text-column or --pair-column."
        )
    return {field: row[column] for field, column in found.items()}


def _show_progress(progress: Progress) -> None:
    rate = progress.done / progress.seconds if progress.seconds else 0
    typer.echo(f"\r{progress.done} texts, {rate:.0f} per second", nl=False, err=True)
