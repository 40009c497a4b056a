"""How well the default recipe does beside full fine-tuning of the same backbone on the same rows.

    python bench/accuracy.py --data DIR --tasks trec wnut17 copa [--output bench/results/X.json]

DIR holds one folder a task with train.jsonl, validation.jsonl, test.jsonl and labels.json. The
prefix is trained by `training.session`, as `polyprefix train` does; the whole model in the plain
padded loop that is usual with transformers (`bench/fine_tuning.py`). The best epoch by the
validation rows counts, for both. Figures are of the test file, or of the validation file of sets
that have no test: the epoch is then chosen by a tenth of the training rows.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))

import origin
import torch
from fine_tuning import FineTuning
from rich.console import Console
from rich.table import Table
from transformers.utils import logging as transformers_logging

from prefixes.backbone import load_backbone
from training.config import TrainConfig
from training.data import load_task
from training.plan import TrainPlan
from training.session import run_plan

ROWS: Final = {"sst2": 8000, "squad_small": 1000}
"""Tasks that are trained on a sample; the others on all rows."""

FLOORS: Final = {"trec": 0.94}
MAX_GAP: Final = 0.02
"""By which a prefix may fall short in classifying texts; other tasks have no bound yet."""

SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "token": {"task_type": "token_classification"},
    "extractive_qa": {"task_type": "question_answering"},
    "multiple_choice": {"task_type": "multiple_choice"},
}
"""What a set's kind of task, as its labels.json names it, says to a training."""

UNLABELLED: Final = {"extractive_qa", "multiple_choice"}


@dataclass(frozen=True, slots=True)
class Figure:
    """The test figure of one method on one task."""

    task: str
    method: str
    metric: str
    measured: float
    num_rows: int
    seconds: float


def main() -> None:
    arguments = _arguments()
    console = Console()
    transformers_logging.disable_progress_bar()
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for task in arguments.tasks:
            config = _config(arguments, task, Path(folder))
            for method in arguments.methods:
                started = time.perf_counter()
                train = train_prefix if method == "prefix" else fine_tune
                metrics, num_rows = train(config, arguments.backbone, console)
                seconds = time.perf_counter() - started
                console.print(task, method, metrics)
                measured = metrics[config.metric]
                figures.append(Figure(task, method, config.metric, measured, num_rows, seconds))
                if arguments.output is not None:
                    _save(arguments.output, figures)
    console.print(_table(figures))


def train_prefix(
    config: TrainConfig, backbone: str, console: Console
) -> tuple[dict[str, float], int]:
    """Train a prefix with the default recipe; returns its file's test figures."""
    plan = TrainPlan(runs=(config,), backbone=backbone)
    seen = 0

    def watch(runs: Sequence[Any]) -> None:
        nonlocal seen
        if len(runs[0].history) > seen:
            seen = len(runs[0].history)
            console.print(f"{config.task} prefix", runs[0].history[-1])

    with tempfile.TemporaryDirectory() as folder:
        (trained,) = run_plan(plan, Path(folder), watch=watch)
    assert trained.finished.test is not None
    provenance = trained.finished.prefix.spec.provenance
    assert provenance is not None
    return trained.finished.test.metrics, provenance.train_rows or 0


def fine_tune(config: TrainConfig, backbone: str, console: Console) -> tuple[dict[str, float], int]:
    """Train every weight of the backbone; returns the test figures of its best epoch."""
    data = load_task(config)
    tuning = FineTuning(config, data, load_backbone(backbone, device="cpu"))
    return tuning.run(data, console), len(data.train)


def _config(arguments: argparse.Namespace, task: str, scratch: Path) -> TrainConfig:
    folder = arguments.data / task
    about = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    settings = SETTINGS.get(about["task"], {})
    if about["task"] not in UNLABELLED:
        settings = {**settings, "labels": tuple(about["labels"])}
    files = {name: folder / f"{name}.jsonl" for name in ("train", "validation", "test")}
    if not files["test"].exists():
        files["test"] = files.pop("validation")
    if task == "copa":
        files = {name: _with_connectives(path, scratch) for name, path in files.items()}
    return TrainConfig(
        task=f"bench/{task.replace('_', '-')}",
        max_rows=arguments.rows or ROWS.get(task),
        seed=arguments.seed,
        **files,
        **settings,
    )


def _with_connectives(path: Path, folder: Path) -> Path:
    """End COPA's premises as P-tuning v2 did: with "because" or "so", as the question asks."""
    target = folder / path.name
    with path.open(encoding="utf-8") as rows, target.open("w", encoding="utf-8") as out:
        for line in rows:
            row = json.loads(line)
            connective = "because" if row["question"] == "cause" else "so"
            row = {**row, "text": f"{row.pop('text_a')} {connective}"}
            out.write(json.dumps(row) + "\n")
    return target


def _table(figures: Sequence[Figure]) -> Table:
    table = Table("task", "method", "rows", "metric", "test", "seconds")
    for one in figures:
        table.add_row(
            one.task,
            one.method,
            str(one.num_rows),
            one.metric,
            f"{one.measured:.4f}",
            f"{one.seconds:.0f}",
        )
    return table


def _save(path: Path, figures: Sequence[Figure]) -> None:
    """Write the figures, and keep those of other tasks and methods that the file has already."""
    entries: dict[str, Any] = {}
    if path.exists():
        entries = {entry["name"]: entry for entry in json.loads(path.read_text(encoding="utf-8"))}
    where = {
        "rows": None,
        "seconds": None,
        "processor": origin.processor(),
        "threads": torch.get_num_threads(),
        "commit": origin.commit(),
        "command": " ".join(["python", *sys.argv]),
    }
    for one in figures:
        name = f"{one.task}: {one.method}"
        bound = FLOORS.get(one.task) if one.method == "prefix" else None
        holds = bound is None or one.measured >= bound
        entry = _entry(name, one.measured, bound, unit=one.metric, holds=holds)
        entries[name] = {**entry, **where, "rows": one.num_rows, "seconds": round(one.seconds)}
    for task in dict.fromkeys(name.split(":")[0] for name in entries):
        prefix, full = (entries.get(f"{task}: {method}") for method in ("prefix", "fine-tuning"))
        if prefix is not None and full is not None and prefix["rows"] == full["rows"]:
            gap = full["measured"] - prefix["measured"]
            name = f"{task}: fine-tuning minus prefix"
            bound = MAX_GAP if full["unit"] == "accuracy" and task != "copa" else None
            holds = bound is None or gap <= bound
            entries[name] = _entry(name, gap, bound, unit=full["unit"], holds=holds)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(list(entries.values()), indent=1) + "\n", encoding="utf-8")


def _entry(
    name: str, measured: float, bound: float | None, *, unit: str, holds: bool
) -> dict[str, Any]:
    return {
        "name": name,
        "measured": round(measured, 4),
        "bound": bound,
        "holds": holds,
        "unit": unit,
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", default=["trec", "sst2", "ag_news"])
    parser.add_argument(
        "--methods", nargs="+", choices=["prefix", "fine-tuning"], default=["prefix", "fine-tuning"]
    )
    parser.add_argument("--rows", type=int, help="train on a sample this large")
    parser.add_argument("--backbone", default="minilm")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="add the figures to this .json file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
