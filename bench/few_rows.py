"""Accuracy with few or no rows: few-shot heads, logistic regression, and trained vectors.

    python -m bench.few_rows --data DIR --output FILE
    python -m bench.few_rows --data DIR --output FILE --methods few_shot vectors
        --part development --rows 16 32 64 --seeds 0 1

DIR is that of `bench.accuracy`. Of each set's train.jsonl, `--rows` rows of each label are drawn
with a seed; 0 rows leave the names of the labels. `test` measures on the test file, `development`
on up to 1,000 other rows of train.jsonl, which is what settings are chosen by.

- few_shot: as `polyprefix train` computes it.
- logistic_regression: scikit-learn's, with `C` = 10, on the same features scaled to length 1. It
  does not read names.
- vectors, prefix: `polyprefix train` with that method and its default settings, which holds out a
  tenth.
- the alternatives of `bench.few_row_alternatives`, which are not calibrated.

Sets of several labels per text have only the first two methods. The logistic regression is then one
for each label. `micro_f1` is that of the labels with at least half a probability, and
`average_precision` the mean over the labels, which no threshold enters.

Runs in FILE are not repeated.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.metrics import average_precision_score
from transformers.utils import logging as transformers_logging

from bench import origin
from bench.few_row_alternatives import ALTERNATIVES
from bench.few_row_sets import TASKS, DataSet, Ints
from bench.labeled_rows import write_rows
from prefixes.backbone import load_backbone
from training.examples import Examples
from training.few_shot.features import Features
from training.few_shot.heads import new_regression
from training.few_shot.selection import ONE_LABEL, SEVERAL_LABELS, served_head
from training.sessions.session import run_plan
from training.settings.config import TrainConfig
from training.settings.plan import TrainPlan
from training.tasks.metrics import CALIBRATION_ERROR, measure

TRAINED: Final = ("vectors", "prefix")
METHODS: Final = ("few_shot", "logistic_regression", *TRAINED, *ALTERNATIVES)
FOR_SEVERAL_LABELS: Final = METHODS[:2]
AVERAGE_PRECISION: Final = "average_precision"
_FIGURES: Final = ("accuracy", "macro_f1", CALIBRATION_ERROR)


@dataclass(frozen=True, slots=True)
class Draw:
    """A run: its set, method, number of rows per label and seed, and the part to measure on."""

    task: str
    method: str
    rows: int
    seed: int
    part: str


def main() -> None:
    """Run the missing runs, and print the table of all."""
    arguments = _arguments()
    transformers_logging.disable_progress_bar()
    console = Console()
    if not arguments.data.is_dir():
        console.print(f"{arguments.data} does not exist: nothing is measured")
        return
    backbone = load_backbone(arguments.backbone, device=arguments.device)
    entries = json.loads(arguments.output.read_text()) if arguments.output.exists() else []
    for task in arguments.tasks:
        data = DataSet(task, arguments.data, backbone)
        done = {tuple(entry[name] for name in Draw.__slots__) for entry in entries}
        for draw in _draws(arguments, task):
            is_possible = draw.method in FOR_SEVERAL_LABELS or not data.has_several
            if tuple(asdict(draw).values()) in done or not is_possible:
                continue
            is_trained = draw.method in TRAINED
            figures = _trained(data, draw, arguments) if is_trained else _head(data, draw)
            entries.append(asdict(draw) | figures | _origin(arguments))
            console.print(f"{draw}: {[figures[name] for name in _shown(figures)]}")
            arguments.output.parent.mkdir(parents=True, exist_ok=True)
            arguments.output.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    console.print(_table(entries))


def _draws(arguments: argparse.Namespace, task: str) -> Iterator[Draw]:
    for rows in arguments.rows:
        seeds = arguments.seeds if rows else arguments.seeds[:1]  # names alone do not vary
        for seed in seeds:
            for method in arguments.methods:
                if rows or method not in {"logistic_regression", *TRAINED, "without_names"}:
                    yield Draw(task, method, rows, seed, arguments.part)


def _head(data: DataSet, draw: Draw) -> dict[str, Any]:
    """Measure a few-shot head or a logistic regression."""
    learned, measured = data.split(draw.rows, draw.seed, draw.part)
    part = "test" if draw.part == "test" else "train"
    features, labels = data.features("train", learned), data.truths["train"][learned]
    others, truths = data.features(part, measured), data.truths[part][measured]
    extra: dict[str, Any] = {}
    if draw.method == "few_shot":
        family = SEVERAL_LABELS if data.has_several else ONE_LABEL
        served = served_head(data.names, features, labels, family)
        logits = served.head(others)
        extra = {"computed_by": served.computed_by, "scale": served.scale}
    elif draw.method in ALTERNATIVES:
        logits = ALTERNATIVES[draw.method](data.names, features, labels)(others)
    else:
        logits = _regression(_of_length_1(features), labels, _of_length_1(others))
    return {**_figures(data, logits, truths), **extra}


def _regression(features: Features, labels: Ints, others: Features) -> Features:
    """Return the logits of other features: of all labels at once, or of each of several."""
    if labels.ndim > 1:
        return np.stack([_logits_of(features, column, others) for column in labels.T], axis=1)
    model = new_regression().fit(features, labels)
    logits: Features = model.predict_log_proba(others)
    return logits


def _logits_of(features: Features, flags: Ints, others: Features) -> Features:
    """Return the logits of one label, which are constant if all rows have it, or none."""
    if flags.min() == flags.max():
        return np.full(len(others), np.log((flags.sum() + 1) / (len(flags) - flags.sum() + 1)))
    model = new_regression().fit(features, flags)
    logits: Features = model.decision_function(others)
    return logits


def _trained(data: DataSet, draw: Draw, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train with the default settings of a method."""
    learned, measured = data.split(draw.rows, draw.seed, draw.part)
    with tempfile.TemporaryDirectory() as folder:
        train = _write(data, "train", learned, Path(folder) / "train.jsonl")
        part = "test" if draw.part == "test" else "train"
        test = _write(data, part, measured, Path(folder) / "test.jsonl")
        settings = data.config.model_dump(exclude_unset=True) | {"train": train, "test": test}
        settings |= {"method": draw.method, "seed": draw.seed}
        plan = TrainPlan(
            runs=(TrainConfig.model_validate(settings),),
            backbone=arguments.backbone,
            device=arguments.device,
            dtype=arguments.dtype,
        )
        (trained,) = run_plan(plan, Path(folder) / "out", watch=lambda _: None)
    assert trained.finished.test is not None
    metrics = trained.finished.test.metrics
    return {name: metrics[name] for name in _FIGURES}


def _write(data: DataSet, part: str, rows: Ints, path: Path) -> Path:
    examples: Examples[int] = data.parts[part].take(rows)
    pairs = zip(examples.inputs, examples.truths, strict=True)
    return write_rows(({**fields, "label": data.labels[truth]} for fields, truth in pairs), path)


def _figures(data: DataSet, logits: Features, truths: Ints) -> dict[str, float]:
    metrics = measure(data.problem_type, data.labels, logits, truths).metrics
    figures = {name: metrics[name] for name in _FIGURES}
    if not data.has_several:
        return figures
    precision = float(average_precision_score(truths, logits, average="macro"))
    return {**figures, "micro_f1": metrics["micro_f1"], AVERAGE_PRECISION: precision}


def _of_length_1(features: Features) -> Features:
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def _origin(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "commit": origin.commit(),
        "command": origin.command(),
        "device": origin.device(arguments.device),
    }


def _table(entries: Sequence[Mapping[str, Any]]) -> Table:
    """Tabulate the mean figure over seeds with its standard error, and the calibration error."""
    sizes = sorted({(entry["part"], entry["rows"]) for entry in entries})
    table = Table("set", "method", *(f"{part}, {rows} rows" for part, rows in sizes))
    for task, method in dict.fromkeys((entry["task"], entry["method"]) for entry in entries):
        mine = [entry for entry in entries if (entry["task"], entry["method"]) == (task, method)]
        cells = [[e for e in mine if (e["part"], e["rows"]) == size] for size in sizes]
        table.add_row(task, method, *map(_cell, cells))
    return table


def _cell(entries: Sequence[Mapping[str, Any]]) -> str:
    if not entries:
        return ""
    calibration = statistics.mean(entry[CALIBRATION_ERROR] for entry in entries)
    figures = [_mean(entries, name) for name in _shown(entries[0])]
    return f"{' / '.join(figures)} (ECE {calibration:.2f})"


def _mean(entries: Sequence[Mapping[str, Any]], name: str) -> str:
    values, error = [entry[name] for entry in entries], ""
    if len(values) > 1:
        error = f" ± {statistics.stdev(values) / len(values) ** 0.5:.3f}"
    return f"{statistics.mean(values):.3f}{error}"


def _shown(figures: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the figures that are shown: the accuracy, or two of several labels."""
    return ("micro_f1", AVERAGE_PRECISION) if AVERAGE_PRECISION in figures else ("accuracy",)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS[:2])
    parser.add_argument("--rows", nargs="+", type=int, default=[0, 1, 4, 16])
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(10)))
    parser.add_argument("--part", choices=["test", "development"], default="test")
    parser.add_argument("--backbone", default="minilm")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ...")
    parser.add_argument("--dtype", default="float32", help="of trained prefixes")
    parser.add_argument("--output", type=Path, required=True, help="JSON file of runs to append to")
    return parser.parse_args()


if __name__ == "__main__":
    main()
