"""The commands `evaluate` and `predict`."""

# ruff: noqa: PLC0415 - `--help` does not need torch

from pathlib import Path
from typing import Annotated

import typer

from server.command_line.flag_groups import changed, expand_flags
from server.command_line.place import ServerFlags
from server.command_line.shared_options import (
    SOURCES,
    LabelColumn,
    LongText,
    PairColumn,
    PrefixFile,
    Runtime,
    TextColumn,
    runtime_option,
)


@expand_flags
def evaluate(  # noqa: PLR0917 - typer passes all by name
    prefix_file: PrefixFile,
    data: Annotated[str, typer.Argument(help=f"Labeled rows: {SOURCES}.")],
    text_column: TextColumn = None,
    pair_column: PairColumn = None,
    label_column: LabelColumn = None,
    long_text: LongText = None,
    as_json: Annotated[bool, runtime_option("Print JSON.", "--json")] = False,  # noqa: FBT002
    *,
    runtime: Runtime,
) -> None:
    """Measure a prefix file on labeled rows.

    With another number type than float32, the output also compares the metrics and the answers
    with those of float32.
    """
    from server.command_line.evaluation_run import evaluate_file, length_options
    from server.command_line.row_sources import source_of
    from training.examples import Columns

    evaluate_file(
        prefix_file,
        source_of(data),
        Columns(text_column, pair_column, label_column),
        runtime,
        lengths=length_options(long_text),
        as_json=as_json,
    )


@expand_flags
def predict(  # noqa: PLR0917 - typer passes all by name
    prefix_file: Annotated[
        Path,
        typer.Argument(
            metavar="PREFIX",
            help="A prefix file, as `train` writes it, or TENANT/TASK on a server.",
        ),
    ],
    data: Annotated[
        str,
        typer.Argument(help=f"Texts: {SOURCES}. For a server: .jsonl, .csv, .tsv or .txt."),
    ],
    output: Annotated[
        Path | None,
        runtime_option("A .jsonl file to write.", "--output", "-o", show_default="stdout"),
    ] = None,
    text_column: TextColumn = None,
    pair_column: PairColumn = None,
    long_text: LongText = None,
    explain: Annotated[  # noqa: FBT002
        bool,
        runtime_option(
            "Add to each label how its logit changes without each word. For tasks that classify "
            "texts.",
            "--explain",
        ),
    ] = False,
    as_json: Annotated[  # noqa: FBT002
        bool, runtime_option("Print JSON, which is the only format.", "--json")
    ] = False,
    *,
    runtime: Runtime,
    server: ServerFlags,
) -> None:
    """Run a prefix file, or a task of a server, on texts. Writes one JSON object per row.

    The name of a task that is not a file is looked up on a server.
    """
    from training.examples import Columns

    del as_json  # the output is JSON in any case
    columns = Columns(text_column, pair_column)
    if _is_task(prefix_file):
        if unused := changed(runtime):
            raise typer.BadParameter(f"A server does not accept {', '.join(unused)}. Remove them.")
        from server.command_line.remote_prediction import predict_remotely

        options = _remote_options(long_text, explain=explain)
        predict_remotely(
            prefix_file.as_posix(), Path(data), columns, server, output=output, options=options
        )
        return
    if server.url is not None:
        raise typer.BadParameter(
            f"{prefix_file} is a file, but --url names a server. Give TENANT/TASK, or no --url."
        )
    from server.command_line.evaluation_run import length_options, predict_file
    from server.command_line.row_sources import source_of

    predict_file(
        prefix_file,
        source_of(data),
        columns,
        runtime,
        lengths=length_options(long_text),
        output=output,
        explain=explain,
    )


def _remote_options(long_text: str | None, *, explain: bool) -> dict[str, str]:
    options = {} if long_text is None else {"long_text": long_text}
    return options | {"explain": "occlusion"} if explain else options


def _is_task(path: Path) -> bool:
    """Return whether an argument is the name of a task on a server, and not a file."""
    from prefixes.errors import InvalidName
    from prefixes.names import PrefixRef

    if path.exists() or path.suffix == ".safetensors":
        return False
    try:
        PrefixRef.parse(path.as_posix())
    except InvalidName:
        return False
    return True
