"""Runs a prefix file on rows, for `evaluate` and `predict`."""

import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, cast, get_args

import torch
import typer
from rich.console import Console
from rich.table import Table
from transformers.utils import logging as transformers_logging

from prefixes import Prefix
from prefixes.atomic import atomic_file
from prefixes.backbone import Backbone, load_backbone
from prefixes.backbone.kernels.names import TORCH
from prefixes.backbone.precision import dtype_name
from prefixes.lengths import LengthOptions
from prefixes.spec import LongText
from server.command_line.shared_options import Runtime
from training.data.parts import load_examples, load_inputs
from training.errors import PlanRejected
from training.examples import Columns
from training.learning.evaluate import as_learned, evaluate, predictions
from training.learning.explanations import explanations
from training.results.comparison import Comparison, compare
from training.sources import Source
from training.tasks.metrics import Measurement

_MAX_CONFUSION: Final = 12


def evaluate_file(
    prefix_file: Path,
    data: Source,
    columns: Columns,
    runtime: Runtime,
    *,
    lengths: LengthOptions,
    as_json: bool,
) -> None:
    """Measure a prefix file on labeled rows, and print the metrics.

    With another number type than float32, the file is measured in float32 as well.

    Raises:
        TrainingError: for problems of the rows.
        PrefixError: when the file or the backbone is rejected.
    """
    prefix, backbone = _load(prefix_file, data, runtime)
    examples = as_learned(backbone, prefix, load_examples(data, prefix.spec, columns))
    if backbone.precision == torch.float32:
        comparison = None
        measurement = evaluate(
            backbone,
            prefix,
            examples,
            tokens_per_batch=runtime.tokens_per_batch,
            lengths=lengths,
        )
    else:
        exact = _exact_backbone(runtime)
        tokens = runtime.tokens_per_batch
        comparison = compare(
            backbone, exact, prefix, examples, tokens_per_batch=tokens, lengths=lengths
        )
        measurement = comparison.measurement
    precision = dtype_name(backbone.precision)
    console = Console(markup=False, emoji=False)  # labels may look like markup
    if as_json:
        figures = {"rows": len(examples), **dataclasses.asdict(measurement)}
        if comparison is not None:
            figures |= _compared(precision, comparison)
        console.print_json(json.dumps(figures))
        return
    if comparison is not None:
        console.print(_comparison_table(precision, comparison))
    for table in _tables(prefix.spec.labels, measurement):
        console.print(table)


def predict_file(
    prefix_file: Path,
    data: Source,
    columns: Columns,
    runtime: Runtime,
    *,
    lengths: LengthOptions,
    output: Path | None,
    explain: bool,
) -> None:
    """Write the predictions for the rows of a source as JSONL to a file or to standard output.

    With `explain`, each has the explanation of its label.

    Raises:
        TrainingError: for problems of the rows.
        PrefixError: when the file or the backbone is rejected.
    """
    prefix, backbone = _load(prefix_file, data, runtime)
    if explain and prefix.spec.task_type != "sequence_classification":
        raise PlanRejected(
            f"`--explain` is for tasks that classify texts, and {prefix_file} is of the type "
            f"{prefix.spec.task_type}. Omit it."
        )
    inputs = load_inputs(data, prefix.spec, columns)
    tokens = runtime.tokens_per_batch
    answers = predictions(backbone, prefix, inputs, tokens_per_batch=tokens, lengths=lengths)
    if explain:
        found = explanations(backbone, prefix, inputs, tokens_per_batch=tokens, lengths=lengths)
        answers = (
            {**answer, "explanation": explanation}
            for answer, explanation in zip(answers, found, strict=True)
        )
    lines = (json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers)
    if output is None:
        sys.stdout.writelines(lines)
        return
    with atomic_file(output) as file:
        file.writelines(line.encode() for line in lines)


def length_options(mode: str | None) -> LengthOptions:
    """Return the options that `--long-text` selects.

    Raises:
        BadParameter: when it has another value than truncate or windows.
    """
    known = get_args(LongText)
    if mode is not None and mode not in known:
        raise typer.BadParameter(f"Invalid --long-text {mode!r}: use {' or '.join(known)}.")
    return LengthOptions(long_text=cast("LongText | None", mode))


def _load(prefix_file: Path, data: Source, runtime: Runtime) -> tuple[Prefix, Backbone]:
    for path in (prefix_file, data):
        if isinstance(path, Path):
            path.stat()  # fails before a minute of loading, not after it
    transformers_logging.disable_progress_bar()
    backbone = load_backbone(
        runtime.backbone,
        device=runtime.device,
        dtype=runtime.dtype,
        quantize=runtime.quantize,
        linear_kernel=runtime.linear_kernel,
        attention_kernel=runtime.attention_kernel,
    )
    return Prefix.load(prefix_file, fits=[backbone.fingerprint]), backbone


def _exact_backbone(runtime: Runtime) -> Backbone:
    """Load the backbone in float32, with the kernels that every machine has."""
    return load_backbone(
        runtime.backbone, device=runtime.device, linear_kernel=TORCH, attention_kernel=TORCH
    )


def _compared(precision: str, comparison: Comparison) -> dict[str, Any]:
    return {
        "precision": precision,
        "float32": comparison.exact.metrics,
        "difference": comparison.differences,
        "changed_answers": comparison.changed,
    }


def _comparison_table(precision: str, comparison: Comparison) -> Table:
    table = Table("metric", precision, "float32", "difference")
    for name, difference in comparison.differences.items():
        values = (comparison.measurement.metrics[name], comparison.exact.metrics[name])
        table.add_row(name, *(f"{value:.4f}" for value in values), f"{difference:+.4f}")
    if comparison.changed is not None:
        table.add_row("changed answers", f"{comparison.changed:.4f}", "", "")
    return table


def _tables(labels: Sequence[str], measurement: Measurement) -> Iterator[Table]:
    figures = Table("metric", "value")
    for name, value in measurement.metrics.items():
        figures.add_row(name, f"{value:.4f}")
    yield figures
    if measurement.per_label:
        by_label = Table("label", "precision", "recall", "f1", "support")
        for one in measurement.per_label:
            by_label.add_row(
                one.label,
                *(f"{value:.4f}" for value in (one.precision, one.recall, one.f1)),
                str(one.support),
            )
        yield by_label
    yield from _confusion(labels, measurement)


def _confusion(labels: Sequence[str], measurement: Measurement) -> Iterator[Table]:
    """Show the confusion matrix if it is small: true labels as rows, predicted as columns."""
    cells = measurement.cells
    if cells is None or len(labels) > _MAX_CONFUSION:
        return
    counts = {(true, given): count for true, given, count in cells.tolist()}
    table = Table("true \\ predicted", *labels)
    for true, label in enumerate(labels):
        table.add_row(label, *(str(counts.get((true, given), 0)) for given in range(len(labels))))
    yield table
