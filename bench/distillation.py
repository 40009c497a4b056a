"""Accuracy of prefixes that learn from a teacher, with and without unlabeled rows.

    python -m bench.distillation --data DIR --tasks sst2 --rows 500 --scratch SCRATCH --output FILE
    python -m bench.distillation --data DIR --tasks sst2 --rows 500 --scratch SCRATCH --output FILE
        --arms unlabeled --temperatures 1 2 4 --weights 0.5 0.9 --seeds 0 --part development

DIR is that of `bench.accuracy`. With each seed, `--rows` rows of train.jsonl are drawn, and up to
`--unlabeled` others, whose labels are removed. The seed is also that of the training. All arms of a
seed learn from one teacher, which is fine-tuned on the same labeled rows as `--teacher full` does:

- teacher: the fine-tuned model itself.
- prefix: the default settings. wide_batch: the same with 64 rows a step, as many as `unlabeled`.
- same_rows: a prefix with the teacher. unlabeled: the same with the unlabeled rows.

The best step on validation.jsonl counts. `test` measures it on test.jsonl. `development` measures
nothing else: settings are chosen by the validation rows. Runs in FILE are not repeated. SCRATCH has
teachers and checkpoints, so that an interrupted command can be repeated to continue it.
"""

import argparse
import hashlib
import json
import math
import shutil
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table
from transformers.utils import logging as transformers_logging

from bench.kernels import add_options
from bench.methods import EvaluationReport
from bench.scores import Score, Scores
from training.distillation.fine_tuned_teacher import teacher_config
from training.results.finish import FinishedPrefix
from training.sessions.fine_tuning_session import MODEL_FOLDER, TunedModel, tune_plan
from training.sessions.session import run_plan
from training.settings.config import TrainConfig
from training.settings.plan import TrainPlan

TEACHER: Final = "teacher"
BASELINE: Final = "prefix"
ARMS: Final[dict[str, dict[str, Any]]] = {
    BASELINE: {},
    "wide_batch": {"batch_size": 64},
    "same_rows": {"teacher": True},
    "unlabeled": {"teacher": True, "unlabeled": True},
}
"""The settings of each arm; true stands for the folder of the teacher, and the unlabeled rows."""


@dataclass(frozen=True, slots=True)
class Draw:
    """The files of one seed of a set."""

    folder: Path
    config: TrainConfig

    @classmethod
    def of(cls, arguments: argparse.Namespace, task: str, seed: int, folder: Path) -> "Draw":
        source = arguments.data / task
        lines = (source / "train.jsonl").read_text(encoding="utf-8").splitlines()
        order = np.random.default_rng(seed).permutation(len(lines))
        rows = [json.loads(lines[number]) for number in order]
        labeled, others = rows[: arguments.rows], rows[arguments.rows :][: arguments.unlabeled]
        bare = [{name: x for name, x in row.items() if name != "label"} for row in others]
        for name, part in {"train": labeled, "unlabeled": bare}.items():
            text = "".join(json.dumps(row) + "\n" for row in part)
            (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
        about = json.loads((source / "labels.json").read_text(encoding="utf-8"))
        test = source / "test.jsonl" if arguments.part == "test" else None
        config = TrainConfig(
            task=f"bench/{task.replace('_', '-')}",
            method="prefix",
            train=folder / "train.jsonl",
            validation=source / "validation.jsonl",
            test=test,
            labels=tuple(about["labels"]),
            evaluate_every=arguments.evaluate_every,
            seed=seed,
        )
        return cls(folder, config)

    def with_settings(self, arm: str, settings: dict[str, float]) -> TrainConfig:
        """Return the configuration of an arm."""
        places = {
            "teacher": str(self.folder / "teacher" / MODEL_FOLDER),
            "unlabeled": str(self.folder / "unlabeled.jsonl"),
        }
        given = {name: places.get(name, value) for name, value in ARMS[arm].items()}
        variant = "-".join([arm, *(f"{value:g}" for value in settings.values())])
        fields = self.config.model_dump(exclude_unset=True)
        return TrainConfig.model_validate({**fields, **given, **settings, "variant": variant})


def main() -> None:
    """Run the missing runs, and print the summary of all."""
    arguments = _arguments()
    console = Console()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    scores = Scores(arguments.output, arguments.device)
    for task, seed in product(arguments.tasks, arguments.seeds):
        for score in _missing(arguments, scores, task, seed, console):
            scores.add(score)
            console.print(f"{task} {score.method} {dict(score.settings)} seed {seed}: {score.test}")
    for task in arguments.tasks:
        console.print(_summary(scores, task))


def _missing(
    arguments: argparse.Namespace, scores: Scores, task: str, seed: int, console: Console
) -> Iterator[Score]:
    """Train the arms of one seed that the file lacks, all in the same batches."""
    done = [
        (one.method, one.settings)
        for one in scores
        if (one.task, one.seed, one.rows) == (task, seed, arguments.rows)
    ]
    wanted = [one for one in _wanted(arguments) if one not in done]
    if not wanted:
        return
    folder = arguments.scratch / f"{task}-{arguments.rows}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    draw = Draw.of(arguments, task, seed, folder)
    watch = EvaluationReport(console.print)
    where: dict[str, Any] = {
        "backbone": arguments.backbone,
        "device": arguments.device,
        "dtype": arguments.dtype,
    }
    if not (folder / TEACHER / MODEL_FOLDER).exists():
        started = time.perf_counter()
        teacher = TrainPlan(runs=(_teacher_of(draw.config),), **where)
        (tuned,) = tune_plan(teacher, folder / TEACHER, watch=watch)
        seconds = time.perf_counter() - started
        yield _score(arguments, _Place(task, TEACHER, seed), tuned, seconds)
    runs = tuple(draw.with_settings(arm, settings) for arm, settings in wanted)
    kernels = {
        "linear_kernel": arguments.linear_kernel,
        "attention_kernel": arguments.attention_kernel,
    }
    plan = TrainPlan(runs=runs, **where, **kernels)
    started = time.perf_counter()
    output = folder / hashlib.sha256(plan.model_dump_json().encode()).hexdigest()[:16]
    trained = run_plan(plan, output, resume=True, watch=watch)
    seconds = (time.perf_counter() - started) / len(runs)
    for (arm, settings), one in zip(wanted, trained, strict=True):
        place = _Place(task, arm, seed, settings)
        yield _score(arguments, place, one.finished, seconds)
    shutil.rmtree(output)


def _teacher_of(config: TrainConfig) -> TrainConfig:
    teacher = teacher_config(config).model_dump(exclude_unset=True)
    parts = {"validation": config.validation, "test": config.test}
    return TrainConfig.model_validate({**teacher, **parts})


def _wanted(arguments: argparse.Namespace) -> list[tuple[str, dict[str, float]]]:
    """Return the arms with their settings: those with a teacher once for each combination."""
    grid = [
        {"teacher_temperature": temperature, "teacher_weight": weight}
        for temperature, weight in product(arguments.temperatures, arguments.weights)
    ] or [{}]
    return [
        (arm, settings)
        for arm in arguments.arms
        for settings in (grid if "teacher" in ARMS[arm] else [{}])
    ]


@dataclass(frozen=True, slots=True)
class _Place:
    task: str
    method: str
    seed: int
    settings: Mapping[str, float] = field(default_factory=dict)


def _score(
    arguments: argparse.Namespace,
    place: _Place,
    measured: TunedModel | FinishedPrefix,
    seconds: float,
) -> Score:
    return Score(
        task=place.task,
        method=place.method,
        settings=place.settings,
        seed=place.seed,
        dtype=arguments.dtype,
        rows=arguments.rows,
        chosen_by="accuracy",
        validation=measured.validation.metrics,
        test={} if measured.test is None else measured.test.metrics,
        seconds=seconds,
    )


def _summary(scores: Scores, task: str) -> Table:
    """Compare every arm with the baseline of the same seeds."""
    table = Table(
        "arm", "settings", "rows", "seeds", "validation", "test", "test minus prefix", title=task
    )
    found = [one for one in scores if one.task == task]
    places = dict.fromkeys((one.rows, one.method, tuple(one.settings.items())) for one in found)
    for rows, method, settings in sorted(places):
        mine = [
            one
            for one in found
            if (one.rows, one.method, tuple(one.settings.items())) == (rows, method, settings)
        ]
        base = {one.seed: one for one in found if (one.rows, one.method) == (rows, BASELINE)}
        gaps = [
            one.test["accuracy"] - base[one.seed].test["accuracy"]
            for one in mine
            if one.seed in base and one.test and base[one.seed].test
        ]
        table.add_row(
            method,
            ", ".join(f"{name} {value:g}" for name, value in settings),
            str(rows),
            str(len(mine)),
            _with_error([one.merit for one in mine]),
            _with_error([one.test["accuracy"] for one in mine if one.test]),
            _with_error(gaps),
        )
    return table


def _with_error(values: Sequence[float]) -> str:
    """Return the mean and its standard error, which needs two values."""
    if len(values) < 2:
        return "".join(f"{value:.4f}" for value in values)
    error = statistics.stdev(values) / math.sqrt(len(values))
    return f"{statistics.mean(values):.4f} ± {error:.4f}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", default=["sst2", "trec"])
    parser.add_argument("--rows", type=int, default=500, help="number of labeled rows")
    parser.add_argument("--unlabeled", type=int, default=12_800, help="maximum number of rows")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--temperatures", nargs="*", type=float, default=[])
    parser.add_argument("--weights", nargs="*", type=float, default=[])
    parser.add_argument("--evaluate-every", type=int, default=100, help="in steps")
    parser.add_argument("--part", choices=("test", "development"), default="test")
    parser.add_argument("--backbone", default="minilm")
    parser.add_argument("--device", default="auto", help="cpu, cuda, ...")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add_options(parser)
    parser.add_argument("--scratch", type=Path, required=True, help="folder to continue from")
    parser.add_argument("--output", type=Path, required=True, help="JSON file of runs to append to")
    return parser.parse_args()


if __name__ == "__main__":
    main()
