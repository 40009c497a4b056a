"""Accuracy with few or no rows: few-shot heads, logistic regression, and trained prefixes.

    python -m bench.few_rows --data DIR --output FILE
    python -m bench.few_rows --data DIR --output FILE --methods few_shot prefix
        --part development --rows 16 32 64 --seeds 0 1

DIR is that of `bench.accuracy`. Of each set's train.jsonl, `--rows` rows of each label are drawn
with a seed; 0 rows leave the names of the labels. `test` measures on the test file, `development`
on up to 1,000 other rows of train.jsonl, which is what settings are chosen by.

- few_shot: as `polyprefix train` computes it.
- logistic_regression: scikit-learn's, with `C` = 10, on the same features scaled to length 1. It
  does not read names.
- prefix: `polyprefix train --method prefix` with its default settings, which holds out a tenth.
- the alternatives of `bench.few_row_alternatives`, which are not calibrated.

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
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression
from transformers.utils import logging as transformers_logging

from bench import origin
from bench.few_row_alternatives import ALTERNATIVES
from prefixes import PrefixSpec
from prefixes.backbone import Backbone, load_backbone
from training.data.encoding import encode_rows
from training.data.few_rows import load_few_rows
from training.examples import Examples
from training.few_shot.features import Features, features_of
from training.few_shot.fit import encode_names
from training.few_shot.selection import served_head
from training.learning.learner import describe
from training.sessions.session import run_plan
from training.settings.config import TrainConfig
from training.settings.plan import TrainPlan
from training.tasks.metrics import CALIBRATION_ERROR, measure

TASKS: Final = ("ag_news", "banking77", "trec", "tweeteval_emotion")
METHODS: Final = ("few_shot", "logistic_regression", "prefix", *ALTERNATIVES)
DESCRIBED: Final = "trec, described"
_DESCRIPTIONS: Final = {
    "ABBR": "abbreviation",
    "DESC": "description and abstract concepts",
    "ENTY": "entities",
    "HUM": "human beings",
    "LOC": "locations",
    "NUM": "numeric values",
}
"""The names of the classes in Li and Roth, "Learning Question Classifiers" (2002)."""
_DEVELOPMENT_ROWS: Final = 1000
_TOKENS_PER_BATCH: Final = 8192

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Draw:
    """A run: its set, method, number of rows per label and seed, and the part to measure on."""

    task: str
    method: str
    rows: int
    seed: int
    part: str


class DataSet:
    """The rows of a set. Features are computed once for all draws."""

    def __init__(self, name: str, data: Path, backbone: Backbone) -> None:
        self.folder = data / name.partition(",")[0]
        about = json.loads((self.folder / "labels.json").read_text(encoding="utf-8"))
        self.labels: list[str] = about["labels"]
        descriptions = _DESCRIPTIONS if name == DESCRIBED else None
        self.config = TrainConfig.model_validate(
            {
                "task": f"bench/{self.folder.name.replace('_', '-')}",
                "method": "few_shot",
                "train": self.folder / "train.jsonl",
                "test": self.folder / "test.jsonl",
                "labels": self.labels,
                "label_descriptions": descriptions,
            }
        )
        rows = load_few_rows(self.config)
        assert rows.test is not None
        self.parts = {"train": rows.train, "test": rows.test}
        self.truths = {name: np.array(part.truths) for name, part in self.parts.items()}
        self._backbone = backbone
        self._spec: PrefixSpec = describe(self.config, rows, backbone)
        encoded = encode_names(backbone, self._spec, descriptions)
        self.names = self._features([text for (text,) in encoded])
        self._known: dict[tuple[str, int], NDArray[Any]] = {}

    def split(self, draw: Draw) -> tuple[Ints, Ints]:
        """Draw the rows to learn from, and those to measure on."""
        truths = self.truths["train"]
        order = np.random.default_rng(draw.seed).permutation(len(truths))
        chosen = [order[truths[order] == label][: draw.rows] for label in range(len(self.labels))]
        learned = np.concatenate(chosen)
        if draw.part == "test":
            return learned, np.arange(len(self.truths["test"]))
        others = order[~np.isin(order, learned)]
        return learned, others[:_DEVELOPMENT_ROWS]

    def features(self, part: str, rows: Ints) -> Features:
        """Return the features `[n, hidden]` of n rows of a part."""
        missing = [row for row in rows.tolist() if (part, row) not in self._known]
        if missing:
            encoded = encode_rows(self._backbone, self._spec, self.parts[part].take(missing))
            found = self._features(list(encoded.texts))
            self._known |= {(part, row): one for row, one in zip(missing, found, strict=True)}
        empty = np.empty((0, self.names.shape[1]))
        return np.stack([self._known[part, row] for row in rows.tolist()]) if len(rows) else empty

    def _features(self, texts: Sequence[Any]) -> Features:
        return features_of(
            self._backbone,
            self._spec.head,
            texts,
            tokens_per_batch=_TOKENS_PER_BATCH,
            report=None,
        )


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
            if tuple(asdict(draw).values()) in done:
                continue
            figures = (
                _prefix(data, draw, arguments) if draw.method == "prefix" else _head(data, draw)
            )
            entries.append(asdict(draw) | figures | _origin(arguments))
            console.print(f"{draw}: {figures['accuracy']:.4f}")
            arguments.output.parent.mkdir(parents=True, exist_ok=True)
            arguments.output.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    console.print(_table(entries))


def _draws(arguments: argparse.Namespace, task: str) -> Iterator[Draw]:
    for rows in arguments.rows:
        seeds = arguments.seeds if rows else arguments.seeds[:1]  # names alone do not vary
        for seed in seeds:
            for method in arguments.methods:
                if rows or method not in {"logistic_regression", "prefix", "without_names"}:
                    yield Draw(task, method, rows, seed, arguments.part)


def _head(data: DataSet, draw: Draw) -> dict[str, Any]:
    """Measure a few-shot head or a logistic regression."""
    learned, measured = data.split(draw)
    part = "test" if draw.part == "test" else "train"
    features, labels = data.features("train", learned), data.truths["train"][learned]
    others, truths = data.features(part, measured), data.truths[part][measured]
    extra: dict[str, Any] = {}
    if draw.method == "few_shot":
        served = served_head(data.names, features, labels)
        logits = served.head(others)
        extra = {"computed_by": served.computed_by, "scale": served.scale}
    elif draw.method in ALTERNATIVES:
        logits = ALTERNATIVES[draw.method](data.names, features, labels)(others)
    else:
        model = LogisticRegression(C=10.0, max_iter=1000).fit(_of_length_1(features), labels)
        logits = model.predict_log_proba(_of_length_1(others))
    return {**_figures(data.labels, logits, truths), **extra}


def _prefix(data: DataSet, draw: Draw, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train a prefix with the default settings."""
    learned, measured = data.split(draw)
    with tempfile.TemporaryDirectory() as folder:
        train = _write(data, "train", learned, Path(folder) / "train.jsonl")
        part = "test" if draw.part == "test" else "train"
        test = _write(data, part, measured, Path(folder) / "test.jsonl")
        settings = data.config.model_dump(exclude_unset=True) | {"train": train, "test": test}
        settings |= {"method": "prefix", "seed": draw.seed, "prefix_length": 16}
        plan = TrainPlan(
            runs=(TrainConfig.model_validate(settings),),
            backbone=arguments.backbone,
            device=arguments.device,
            dtype=arguments.dtype,
        )
        (trained,) = run_plan(plan, Path(folder) / "out", watch=lambda _: None)
    assert trained.finished.test is not None
    metrics = trained.finished.test.metrics
    return {name: metrics[name] for name in ("accuracy", "macro_f1", CALIBRATION_ERROR)}


def _write(data: DataSet, part: str, rows: Ints, path: Path) -> Path:
    examples: Examples[int] = data.parts[part].take(rows)
    pairs = zip(examples.inputs, examples.truths, strict=True)
    lines = [json.dumps({**fields, "label": data.labels[truth]}) for fields, truth in pairs]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _figures(labels: Sequence[str], logits: Features, truths: Ints) -> dict[str, float]:
    metrics = measure("single_label_classification", labels, logits, truths).metrics
    return {name: metrics[name] for name in ("accuracy", "macro_f1", CALIBRATION_ERROR)}


def _of_length_1(features: Features) -> Features:
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def _origin(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "commit": origin.commit(),
        "command": origin.command(),
        "device": origin.device(arguments.device),
    }


def _table(entries: Sequence[Mapping[str, Any]]) -> Table:
    """Tabulate the mean accuracy over seeds with its standard error, and the calibration error."""
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
    accuracies = [entry["accuracy"] for entry in entries]
    mean, error = statistics.mean(accuracies), ""
    if len(accuracies) > 1:
        error = f" ± {statistics.stdev(accuracies) / len(accuracies) ** 0.5:.3f}"
    calibration = statistics.mean(entry[CALIBRATION_ERROR] for entry in entries)
    return f"{mean:.3f}{error} (ECE {calibration:.2f})"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", default=[*TASKS, DESCRIBED])
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
