"""What the commands do, once their flags are values."""

import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from rich.console import Console
from rich.table import Column, Table
from transformers.utils import logging as transformers_logging

from prefixes import Prefix
from prefixes.backbone import Backbone, load_backbone
from prefixes.backbone.precision import dtype_name
from training.comparison import Comparison, compare
from training.data import load_examples, load_inputs
from training.errors import PlanRejected
from training.evaluate import evaluate, predictions
from training.examples import Columns
from training.metrics import Measurement
from training.plan import TrainPlan
from training.progress import TrainingProgress
from training.publish import Destination
from training.session import Trained, best_of_each_task, discard_checkpoint, run_plan
from training.sources import Source, parse_source
from training.sweep_report import SweepRecord

_MAX_CONFUSION: Final = 12
_MAX_TRIALS: Final = 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where a prefix file is run: the backbone, its device and number type, and its memory."""

    backbone: str
    device: str
    dtype: str
    quantize: str | None
    tokens_per_batch: int


def train_and_publish(
    plan: TrainPlan,
    output: Path,
    *,
    resume: bool,
    publish_to: str | None,
    key: str,
    alias: str | None,
) -> None:
    """Train a plan, say how each run did, and publish the best of each task where asked to.

    Raises:
        TrainingError: as `run_plan`, and when a prefix cannot be published; then the checkpoint
            stays, and resuming publishes without training again.
    """
    console = Console(stderr=True)
    transformers_logging.disable_progress_bar()
    destination = None if publish_to is None else Destination(publish_to, key, alias)
    if destination is not None:
        for task in dict.fromkeys(run.task for run in plan.runs):
            destination.check(task)  # now, not after hours of training
    with TrainingProgress(console) as progress:
        trained = run_plan(plan, output, resume=resume, key=key, watch=progress.show)
    for one in trained:
        if one.sweep is not None:
            console.print(_sweep_table(one.sweep))
    console.print(_summary(trained))
    for warning in _warnings(trained):
        console.print(warning, style="yellow", highlight=False)
    if destination is not None:
        for best in best_of_each_task(trained):
            reference = destination.publish(best.finished, best.config.task)
            console.print(f"Published {reference}", highlight=False)
    discard_checkpoint(output)


def source_of(text: str) -> Source:
    """Read where rows come from.

    Raises:
        PlanRejected: as `parse_source`.
    """
    try:
        return parse_source(text)
    except ValueError as error:
        raise PlanRejected(str(error)) from error


def evaluate_file(
    prefix_file: Path, data: Source, columns: Columns, place: Place, *, as_json: bool
) -> None:
    """Measure a prefix file on labelled rows, and print the figures.

    In another precision than float32, it is measured in float32 as well.

    Raises:
        TrainingError: for problems of the rows.
        PrefixError: when the file or the backbone is refused.
    """
    prefix, backbone = _load(prefix_file, data, place)
    examples = load_examples(data, prefix.spec, columns)
    if backbone.precision == torch.float32:
        comparison = None
        measurement = evaluate(backbone, prefix, examples, tokens_per_batch=place.tokens_per_batch)
    else:
        exact = load_backbone(place.backbone, device=place.device)
        tokens = place.tokens_per_batch
        comparison = compare(backbone, exact, prefix, examples, tokens_per_batch=tokens)
        measurement = comparison.measurement
    precision = dtype_name(backbone.precision)
    console = Console()
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
    prefix_file: Path, data: Source, columns: Columns, place: Place, *, output: Path | None
) -> None:
    """Say what a prefix makes of every row of a file: JSONL to a file or to standard output.

    Raises:
        TrainingError: for problems of the rows.
        PrefixError: when the file or the backbone is refused.
    """
    prefix, backbone = _load(prefix_file, data, place)
    inputs = load_inputs(data, prefix.spec, columns)
    answers = predictions(backbone, prefix, inputs, tokens_per_batch=place.tokens_per_batch)
    with nullcontext(sys.stdout) if output is None else output.open("w", encoding="utf-8") as file:
        for answer in answers:
            file.write(json.dumps(answer, ensure_ascii=False) + "\n")


def _load(prefix_file: Path, data: Source, place: Place) -> tuple[Prefix, Backbone]:
    for path in (prefix_file, data):
        if isinstance(path, Path):
            path.stat()  # a file that is not there shall not be told after a minute of loading
    transformers_logging.disable_progress_bar()
    backbone = load_backbone(
        place.backbone, device=place.device, dtype=place.dtype, quantize=place.quantize
    )
    return Prefix.load(prefix_file, fits=backbone.fingerprint), backbone


def _summary(trained: Sequence[Trained]) -> Table:
    table = Table("run", "best by", "validation", "test", Column("file", overflow="fold"))
    for one in trained:
        metric = one.config.metric
        test = one.finished.test
        table.add_row(
            one.config.run_name,
            metric,
            f"{one.merit:.4f}",
            "" if test is None else f"{test.metrics[metric]:.4f}",
            str(one.file),
        )
    return table


def _sweep_table(record: SweepRecord) -> Table:
    """List the best trials of a task, with what of their settings was searched."""
    fields = list(record.plan.space)
    title = f"{record.task}: {len(record.trials)} trials"
    searched = [Column(field, overflow="fold") for field in fields]
    table = Table("trial", *searched, record.metric, "steps", "ended", title=title)
    evaluated = [trial for trial in record.trials if trial.value is not None]
    for trial in sorted(evaluated, key=lambda one: one.value or 0, reverse=True)[:_MAX_TRIALS]:
        table.add_row(
            str(trial.number),
            *(_short(trial.settings[field]) for field in fields),
            f"{trial.value:.4f}",
            str(trial.curve[-1][0]),
            trial.outcome,
            style="bold" if trial.number == record.best else None,
        )
    return table


def _short(setting: Any) -> str:
    return f"{setting:.4g}" if isinstance(setting, float) else str(setting)


def _warnings(trained: Sequence[Trained]) -> Iterator[str]:
    for one in trained:
        label = one.finished.validation.only_answer
        if label is not None:
            yield (
                f"{one.config.run_name} answers {label!r} to every validation row: it has learnt "
                "which label is the most frequent, and no more. Try more epochs, another "
                "learning_rate, or more rows of the other labels"
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
    """Draw the confusion counts where there is one small matrix: rows true, columns predicted."""
    counts = measurement.confusion
    if counts is None or len(labels) > _MAX_CONFUSION or not isinstance(counts[0][0], int):
        return
    table = Table("true \\ predicted", *labels)
    for label, row in zip(labels, counts, strict=True):
        table.add_row(label, *map(str, row))
    yield table
