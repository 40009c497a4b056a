"""The commands `evaluate` and `predict`: flags to values, failures to sentences."""

# ruff: noqa: PLC0415 - a command imports what it needs, so that --help answers without torch

from pathlib import Path
from typing import Annotated

import typer

from server.command_line.shared_options import (
    SOURCES,
    BackboneName,
    Device,
    Dtype,
    PairColumn,
    PrefixFile,
    Quantize,
    TextColumn,
    Tokens,
    of_task,
)
from training.files.sentences import sentences


def evaluate(  # noqa: PLR0917 - typer passes all by name
    prefix_file: PrefixFile,
    data: Annotated[str, typer.Argument(help=f"Labelled rows: {SOURCES}.")],
    text_column: TextColumn = None,
    pair_column: PairColumn = None,
    label_column: Annotated[str | None, of_task("Column of the label.")] = None,
    backbone: BackboneName = "minilm",
    device: Device = "auto",
    dtype: Dtype = "float32",
    quantize: Quantize = None,
    tokens_per_batch: Tokens = 8192,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,  # noqa: FBT002
) -> None:
    """Measure a prefix file on labelled rows.

    In another precision than float32, also by how much its figures differ from those in float32,
    and how many answers changed.
    """
    with sentences():
        from server.command_line.evaluation_run import Place, evaluate_file, source_of
        from training.examples import Columns

        evaluate_file(
            prefix_file,
            source_of(data),
            Columns(text_column, pair_column, label_column),
            Place(backbone, device, dtype, quantize, tokens_per_batch),
            as_json=as_json,
        )


def predict(  # noqa: PLR0917 - typer passes all by name
    prefix_file: PrefixFile,
    data: Annotated[str, typer.Argument(help=f"Texts: {SOURCES}.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A .jsonl file.", show_default="stdout")
    ] = None,
    text_column: TextColumn = None,
    pair_column: PairColumn = None,
    backbone: BackboneName = "minilm",
    device: Device = "auto",
    dtype: Dtype = "float32",
    quantize: Quantize = None,
    tokens_per_batch: Tokens = 8192,
) -> None:
    """Run a prefix file over texts: one JSON object a row, with what the prefix says of it."""
    with sentences():
        from server.command_line.evaluation_run import Place, predict_file, source_of
        from training.examples import Columns

        predict_file(
            prefix_file,
            source_of(data),
            Columns(text_column, pair_column),
            Place(backbone, device, dtype, quantize, tokens_per_batch),
            output=output,
        )
