"""The command `batch`: has a server answer a file of rows, and downloads the results."""

# ruff: noqa: PLC0415 - `--help` needs neither httpx nor rich

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.command_line.flag_groups import expand_flags
from server.command_line.json_output import AsJson, print_json
from server.command_line.place import ServerFlags, connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from polyprefix_client import Batch, Client


@expand_flags
def batch(
    rows: Annotated[
        Path, typer.Argument(metavar="ROWS", help="Rows as JSON lines, or as Parquet (.parquet).")
    ],
    task: Annotated[
        str | None,
        typer.Option(
            metavar="TENANT/TASK",
            help="Task of rows that name none in `model`. May end in @VERSION or :ALIAS.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="File for the results.", show_default="name of ROWS with .results.jsonl"),
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(min=1, help="Number of scores or answers of each row.")
    ] = None,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    server: ServerFlags,
) -> None:
    """Answer all rows of a file on a server, at low priority.

    The results are JSON lines in the order of the rows. A row that fails has an error.
    """
    target = output or rows.with_suffix(".results.jsonl")
    with connect(server) as client:
        options = {} if top_k is None else {"top_k": top_k}
        added = client.batches.add(rows, model=task, **options)
        done = _wait(client, added, is_quiet=as_json)
        client.batches.download(added.id, target)
    if as_json:
        from polyprefix_client import to_json

        print_json({**to_json(done), "output": str(target)})
    else:
        typer.echo(f"{target}: {done.num_done} results, {done.num_failed} of them errors")


def _wait(client: "Client", added: "Batch", *, is_quiet: bool) -> "Batch":
    try:
        with _progress(is_quiet=is_quiet or not sys.stderr.isatty()) as show:
            return client.batches.wait(added.id, on_progress=show)
    except KeyboardInterrupt:
        path = f"/v1/batches/{added.id}"
        typer.echo(
            f"The batch continues on the server. To follow it: GET {path}. To cancel it: POST "
            f"{path}/cancel",
            err=True,
        )
        raise


@contextmanager
def _progress(*, is_quiet: bool) -> "Iterator[Callable[[Batch], None]]":
    """Show a bar on standard error."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=Console(stderr=True), disable=is_quiet
    ) as bars:
        bar = bars.add_task("queued", total=None)
        yield lambda one: bars.update(
            bar, description=one.state, total=one.num_rows, completed=one.num_done
        )
