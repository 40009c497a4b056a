"""How well the default recipe does beside full fine-tuning of the same backbone on the same rows.

    python bench/accuracy.py --data DIR --tasks trec sst2 ag_news [--output bench/results/X.json]

DIR holds one folder a task with train.jsonl, validation.jsonl, test.jsonl (rows of `text` and
`label`) and labels.json. The prefix is trained by `training.session`, as `polyprefix train` does;
the whole model in the plain padded loop that is usual with transformers. The best epoch by
validation accuracy counts, for both. Figures are accuracies on the test file.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging as transformers_logging

from prefixes.backbone import load_backbone
from training.config import TrainConfig, TrainPlan
from training.data import load_task
from training.examples import Examples, TaskData
from training.noise import generator_for
from training.schedule import learning_rate_factor
from training.session import run_plan

ROWS: Final = {"sst2": 8000}
"""Tasks that are trained on a sample; the others on all rows."""

FLOORS: Final = {"trec": 0.94}
MAX_GAP: Final = 0.02

FINE_TUNING: Final = {"learning_rate": 5e-5, "epochs": 3, "batch_size": 32, "warmup": 0.1}
MAX_LENGTH: Final = 256
CHUNK: Final = 50


@dataclass(frozen=True, slots=True)
class Figure:
    """Test accuracy of one method on one task."""

    task: str
    method: str
    accuracy: float
    num_rows: int
    seconds: float


def main() -> None:
    arguments = _arguments()
    console = Console()
    transformers_logging.disable_progress_bar()
    figures = []
    for task in arguments.tasks:
        config = _config(arguments, task)
        data = load_task(config)
        for method in arguments.methods:
            started = time.perf_counter()
            train = train_prefix if method == "prefix" else fine_tune
            accuracy = train(config, data, arguments.backbone, console)
            seconds = time.perf_counter() - started
            figures.append(Figure(task, method, accuracy, len(data.train), seconds))
    console.print(_table(figures))
    if arguments.output is not None:
        _save(arguments.output, figures)


def train_prefix(config: TrainConfig, _: TaskData, backbone: str, console: Console) -> float:
    """Train a prefix with the default recipe; returns its file's test accuracy."""
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
    return trained.finished.test.metrics["accuracy"]


def fine_tune(config: TrainConfig, data: TaskData, backbone: str, console: Console) -> float:
    """Train every weight of the backbone; returns the test accuracy of its best epoch."""
    place = load_backbone(backbone, device="cpu").model.name_or_path
    tokenizer = AutoTokenizer.from_pretrained(place)
    torch.manual_seed(config.seed)
    model = AutoModelForSequenceClassification.from_pretrained(place, num_labels=len(data.labels))
    optimizer = torch.optim.AdamW(_groups(model), lr=FINE_TUNING["learning_rate"])
    total = FINE_TUNING["epochs"] * -(-len(data.train) // FINE_TUNING["batch_size"])
    best, weights, step = 0.0, {}, 0
    for epoch in range(FINE_TUNING["epochs"]):
        model.train()
        for rows in _batches_by_length(data.train, config.seed, epoch):
            factor = learning_rate_factor("linear", step, total, warmup=FINE_TUNING["warmup"])
            for group in optimizer.param_groups:
                group["lr"] = FINE_TUNING["learning_rate"] * factor
            targets = torch.tensor(data.train.take(rows).truths)
            logits = _logits(model, tokenizer, data.train, rows)
            nn.functional.cross_entropy(logits, targets).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
        accuracy = _accuracy(model, tokenizer, data.validation)
        console.print(f"{config.task} fine-tuning epoch {epoch + 1}: validation {accuracy:.4f}")
        if accuracy > best:
            best = accuracy
            weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.load_state_dict(weights)
    assert data.test is not None
    return _accuracy(model, tokenizer, data.test)


def _groups(model: nn.Module) -> list[dict[str, Any]]:
    """Part the weights as usual: biases and normalisation do not decay."""
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim == 1]
    return [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]


def _batches_by_length(texts: Examples[int], seed: int, epoch: int) -> list[list[int]]:
    """Shuffle rows, then batch neighbours of similar length, so that little is padded."""
    size = FINE_TUNING["batch_size"]
    generator = generator_for(seed, "fine-tuning", epoch)
    order = torch.randperm(len(texts), generator=generator).tolist()
    batches = []
    for start in range(0, len(order), size * CHUNK):
        chunk = order[start : start + size * CHUNK]
        chunk.sort(key=lambda row: len(texts.inputs[row]["text"]))
        batches += [chunk[first : first + size] for first in range(0, len(chunk), size)]
    shuffled = torch.randperm(len(batches), generator=generator).tolist()
    return [batches[number] for number in shuffled]


def _logits(model: Any, tokenizer: Any, texts: Examples[int], rows: Sequence[int]) -> Tensor:
    encoded = tokenizer(
        [texts.inputs[row]["text"] for row in rows],
        truncation=True,
        max_length=MAX_LENGTH,
        padding=True,
        return_tensors="pt",
    )
    logits: Tensor = model(**encoded).logits
    return logits


@torch.inference_mode()
def _accuracy(model: Any, tokenizer: Any, texts: Examples[int]) -> float:
    model.eval()
    order = sorted(range(len(texts)), key=lambda row: len(texts.inputs[row]["text"]))
    correct = 0
    for start in range(0, len(order), 64):
        rows = order[start : start + 64]
        predicted = _logits(model, tokenizer, texts, rows).argmax(dim=1).numpy()
        correct += int((predicted == np.array(texts.take(rows).truths)).sum())
    return correct / len(texts)


def _config(arguments: argparse.Namespace, task: str) -> TrainConfig:
    folder = arguments.data / task
    labels = json.loads((folder / "labels.json").read_text(encoding="utf-8"))["labels"]
    return TrainConfig(
        task=f"bench/{task}",
        train=folder / "train.jsonl",
        validation=folder / "validation.jsonl",
        test=folder / "test.jsonl",
        labels=tuple(labels),
        max_rows=arguments.rows or ROWS.get(task),
        seed=arguments.seed,
    )


def _table(figures: Sequence[Figure]) -> Table:
    table = Table("task", "method", "rows", "test accuracy", "seconds")
    for one in figures:
        table.add_row(
            one.task, one.method, str(one.num_rows), f"{one.accuracy:.4f}", f"{one.seconds:.0f}"
        )
    return table


def _save(path: Path, figures: Sequence[Figure]) -> None:
    """Write the figures, and keep those of other tasks and methods that the file has already."""
    entries: dict[str, Any] = {}
    if path.exists():
        entries = {entry["name"]: entry for entry in json.loads(path.read_text(encoding="utf-8"))}
    origin = {
        "rows": None,
        "seconds": None,
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "commit": _commit(),
        "command": " ".join(["python", *sys.argv]),
    }
    for one in figures:
        name = f"{one.task}: {one.method}"
        bound = FLOORS.get(one.task) if one.method == "prefix" else None
        entry = _entry(name, one.accuracy, bound, holds=bound is None or one.accuracy >= bound)
        entries[name] = {**entry, **origin, "rows": one.num_rows, "seconds": round(one.seconds)}
    for task in dict.fromkeys(name.split(":")[0] for name in entries):
        prefix, full = (entries.get(f"{task}: {method}") for method in ("prefix", "fine-tuning"))
        if prefix is not None and full is not None and prefix["rows"] == full["rows"]:
            gap = full["measured"] - prefix["measured"]
            name = f"{task}: fine-tuning minus prefix"
            entries[name] = _entry(name, gap, MAX_GAP, holds=gap <= MAX_GAP)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(list(entries.values()), indent=1) + "\n", encoding="utf-8")


def _entry(name: str, measured: float, bound: float | None, *, holds: bool) -> dict[str, Any]:
    return {
        "name": name,
        "measured": round(measured, 4),
        "bound": bound,
        "holds": holds,
        "unit": "accuracy",
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


def _commit() -> str:
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


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
