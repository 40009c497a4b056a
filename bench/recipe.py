"""Variants of the default recipe, measured on rows that are not used for tests.

    python -m bench.recipe --data DIR --tasks trec sst2 --output FILE
        --variants "" "batch_size=16 min_steps=800" "prefix_length=32"

DIR is that of `bench.accuracy`. Of each set's train.jsonl, 2,000 rows train, 500 choose the best
step, and up to 3,000 others measure the result. No validation or test file is read, so that these
can later measure the chosen recipe. With --longest, the measured rows are the longest half of the
others, at most 1,500: texts unlike those of the training. All variants of a set train in the same
batches, except "method=full", which is full fine-tuning. Runs in FILE are not repeated.
"""

import argparse
import json
import random
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, get_args

from rich.console import Console
from rich.table import Table
from transformers.utils import logging as transformers_logging

from bench import origin
from bench.labeled_rows import task_settings
from bench.methods import Dtype
from training.learning.base_run import BaseRun
from training.sessions.fine_tuning_session import tune_plan
from training.sessions.session import run_plan
from training.settings.config import TrainConfig
from training.settings.plan import TrainPlan
from training.tasks.metrics import Measurement

PARTS: Final = {"train": 2000, "validation": 500, "test": 3000}
"""Maximum number of rows of a training file for each part, in this order."""

Entry = Mapping[str, Any]


def main() -> None:
    """Run the missing runs, and print the table of all."""
    arguments = _arguments()
    transformers_logging.disable_progress_bar()
    console = Console()
    entries = _read(arguments.output)
    for task in arguments.tasks:
        for seed in arguments.seeds:
            asked = (task, seed, arguments.longest)
            done = {e["variant"] for e in entries if (e["task"], e["seed"], e["longest"]) == asked}
            missing = [one for one in arguments.variants if one not in done]
            if missing:
                measured = _measure(arguments, task, seed, missing, console.print)
                # Other processes may have written meanwhile.
                entries = [*_read(arguments.output), *measured]
                arguments.output.parent.mkdir(parents=True, exist_ok=True)
                arguments.output.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    console.print(_table(entries))


def _measure(
    arguments: argparse.Namespace,
    task: str,
    seed: int,
    variants: Sequence[str],
    report: Callable[[str], None],
) -> list[Entry]:
    """Train variants of the recipe on one set."""
    with tempfile.TemporaryDirectory() as folder:
        train = arguments.data / task / "train.jsonl"
        files = part_out(train, Path(folder), seed=seed, longest=arguments.longest)
        settings = task_settings(arguments.data / task)
        runs = [
            TrainConfig(
                task=f"bench/{task.replace('_', '-')}",
                variant=f"variant-{number}",
                seed=seed,
                **files,
                **settings,
                **settings_of(variant),
            )
            for number, variant in enumerate(variants)
        ]
        results = _train(runs, arguments, Path(folder) / "out", _Progress(report))
    where = {"task": task, "seed": seed, "longest": arguments.longest}
    device = origin.device(arguments.device)
    return [
        {**where, "variant": variant, **results[run.run_name], "device": device}
        for variant, run in zip(variants, runs, strict=True)
    ]


def _train(
    runs: Sequence[TrainConfig], arguments: argparse.Namespace, folder: Path, watch: "_Progress"
) -> dict[str, Entry]:
    """Train prefixes together and whole models separately; return each run's figures by name."""
    prefixes = tuple(run for run in runs if run.method != "full")
    models = tuple(run for run in runs if run.method == "full")
    where = {"device": arguments.device, "dtype": arguments.dtype}
    trained = run_plan(TrainPlan(runs=prefixes, **where), folder, watch=watch) if prefixes else []
    tuned = tune_plan(TrainPlan(runs=models, **where), folder, watch=watch) if models else []
    figures = [(one.config, one.finished.validation, one.finished.test) for one in trained]
    figures += [(one.config, one.validation, one.test) for one in tuned]
    return {run.run_name: _entry(run, validation, test) for run, validation, test in figures}


class _Progress:
    """Reports every evaluation once."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._seen: dict[str, int] = {}

    def __call__(self, active: Sequence[BaseRun]) -> None:
        for run in active:
            name = run.config.run_name
            if len(run.history) > self._seen.get(name, 0):
                last = run.history[-1]
                merit = last.metrics[run.config.metric]
                self._report(f"{name} {last.step}: {last.train_loss:.3f} {last.loss:.3f} {merit}")
            self._seen[name] = len(run.history)


def _entry(config: TrainConfig, validation: Measurement, test: Measurement | None) -> Entry:
    assert test is not None
    return {
        "metric": config.metric,
        "chosen_by": validation.metrics[config.metric],
        "measured": test.metrics[config.metric],
        "commit": origin.commit(),
        "command": origin.command(),
    }


def part_out(train: Path, folder: Path, *, seed: int, longest: bool = False) -> dict[str, Path]:
    """Divide the rows of a training file into the parts."""
    lines = list(dict.fromkeys(train.read_text(encoding="utf-8").splitlines()))
    random.Random(seed).shuffle(lines)  # noqa: S311 - a sample, not a secret
    if longest:
        first = PARTS["train"] + PARTS["validation"]
        others = sorted(lines[first:], key=len, reverse=True)
        lines = lines[:first] + others[: min(PARTS["test"] // 2, len(others) // 2)]
    files, start = {}, 0
    for name, count in PARTS.items():
        files[name] = folder / f"{name}.jsonl"
        part = lines[start : start + count]
        files[name].write_text("\n".join(part) + "\n", encoding="utf-8")
        start += count
    return files


def settings_of(variant: str) -> dict[str, Any]:
    """Parse `name=value name=value`; values are JSON or plain text."""
    settings: dict[str, Any] = {}
    for pair in variant.split():
        name, _, value = pair.partition("=")
        try:
            settings[name] = json.loads(value)
        except json.JSONDecodeError:
            settings[name] = value
    return settings


def _table(entries: Sequence[Entry]) -> Table:
    """Tabulate each variant's mean by set, and its mean difference from the default."""
    sets = list(dict.fromkeys((entry["task"], entry["longest"]) for entry in entries))
    found = {(e["variant"], e["task"], e["longest"], e["seed"]): e["measured"] for e in entries}
    names = [f"{task}, longest" if longest else task for task, longest in sets]
    table = Table("variant", *names, "minus default", "runs")
    for variant in dict.fromkeys(entry["variant"] for entry in entries):
        mine = {key[1:]: value for key, value in found.items() if key[0] == variant}
        pairs = [value - found["", *key] for key, value in mine.items() if ("", *key) in found]
        means = [[value for key, value in mine.items() if key[:2] == one] for one in sets]
        table.add_row(
            variant or "default",
            *(f"{statistics.mean(values):.3f}" if values else "" for values in means),
            f"{statistics.mean(pairs):+.4f}" if pairs else "",
            str(len(mine)),
        )
    return table


def _read(path: Path) -> list[Entry]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", required=True)
    parser.add_argument("--variants", nargs="+", default=[""], help='"" is the default recipe')
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--device", default="auto", help="cpu, cuda, ...")
    parser.add_argument("--dtype", choices=get_args(Dtype), default="float32")
    parser.add_argument(
        "--longest", action="store_true", help="measure on the longest of the other rows"
    )
    parser.add_argument("--output", type=Path, required=True, help="JSON file of runs to append to")
    return parser.parse_args()


if __name__ == "__main__":
    main()
