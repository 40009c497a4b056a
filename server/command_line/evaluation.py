"""The commands `evaluate` and `predict`."""

# ruff: noqa: PLC0415 - `--help` does not need torch

from pathlib import Path
from typing import Annotated

import typer

from server.command_line.shared_options import (
    SOURCES,
    AttentionKernel,
    BackboneName,
    Device,
    Dtype,
    LabelColumn,
    LinearKernel,
    LongText,
    PairColumn,
    PrefixFile,
    Quantize,
    TextColumn,
    TokensPerBatch,
    runtime_option,
)


def evaluate(  # noqa: PLR0917 - typer passes all by name
    prefix_file: PrefixFile,
    data: Annotated[str, typer.Argument(help=f"Labeled rows: {SOURCES}.")],
    text_column: TextColumn = None,
    pair_column: PairColumn = None,
    label_column: LabelColumn = None,
    backbone: BackboneName = "minilm",
    device: Device = "auto",
    dtype: Dtype = "float32",
    quantize: Quantize = None,
    linear_kernel: LinearKernel = "auto",
    attention_kernel: AttentionKernel = "auto",
    tokens_per_batch: TokensPerBatch = 8192,
    long_text: LongText = None,
    as_json: Annotated[bool, runtime_option("Print JSON.", "--json")] = False,  # noqa: FBT002
) -> None:
    """Measure a prefix file on labeled rows.

    With another number type than float32, the output also compares the metrics and the answers
    with those of float32.
    """
    from server.command_line.evaluation_run import Runtime, evaluate_file, length_options
    from server.command_line.row_sources import source_of
    from training.examples import Columns

    evaluate_file(
        prefix_file,
        source_of(data),
        Columns(text_column, pair_column, label_column),
        Runtime(
            backbone, device, dtype, quantize, linear_kernel, attention_kernel, tokens_per_batch
        ),
        lengths=length_options(long_text),
        as_json=as_json,
    )


def predict(  # noqa: PLR0917 - typer passes all by name
    prefix_file: PrefixFile,
    data: Annotated[str, typer.Argument(help=f"Texts: {SOURCES}.")],
    output: Annotated[
        Path | None,
        runtime_option("A .jsonl file to write.", "--output", "-o", show_default="stdout"),
    ] = None,
    text_column: TextColumn = None,
    pair_column: PairColumn = None,
    backbone: BackboneName = "minilm",
    device: Device = "auto",
    dtype: Dtype = "float32",
    quantize: Quantize = None,
    linear_kernel: LinearKernel = "auto",
    attention_kernel: AttentionKernel = "auto",
    tokens_per_batch: TokensPerBatch = 8192,
    long_text: LongText = None,
    explain: Annotated[  # noqa: FBT002
        bool,
        runtime_option(
            "Add to each label how its logit changes without each word. For tasks that classify "
            "texts.",
            "--explain",
        ),
    ] = False,
) -> None:
    """Run a prefix file on texts. Writes one JSON object per row."""
    from server.command_line.evaluation_run import Runtime, length_options, predict_file
    from server.command_line.row_sources import source_of
    from training.examples import Columns

    predict_file(
        prefix_file,
        source_of(data),
        Columns(text_column, pair_column),
        Runtime(
            backbone, device, dtype, quantize, linear_kernel, attention_kernel, tokens_per_batch
        ),
        lengths=length_options(long_text),
        output=output,
        explain=explain,
    )
