"""A whole training: from a plan to prefix files, reports and pictures in a folder."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from prefixes.backbone import Backbone, load_backbone
from training.checkpoint import Identity, load_checkpoint, save_checkpoint
from training.config import TrainConfig
from training.curves import draw_confusion, draw_curve, draw_overview
from training.data import load_task
from training.errors import (
    DataProblem,
    DataRejected,
    PlanRejected,
    TrainingError,
    TrainingStopped,
)
from training.examples import TaskData
from training.finish import FinishedPrefix, finish
from training.loop import train
from training.plan import TrainPlan
from training.report import Timing, write_report
from training.run import Run

CHECKPOINT: Final = "checkpoint.pt"
PREFIX_FILE: Final = "prefix.safetensors"
SECONDS_BETWEEN_CHECKPOINTS: Final = 30.0

Watcher = Callable[[Sequence[Run]], None]


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A run that is done: its file on disk, and how well its prefix does."""

    config: TrainConfig
    file: Path
    finished: FinishedPrefix

    @property
    def merit(self) -> float:
        return self.finished.validation.metrics[self.config.metric]


@dataclass(slots=True)
class _Stopwatch:
    """Seconds of training, those before a kill included, and when they were last saved."""

    earlier_seconds: float
    started: float
    saved: float

    @classmethod
    def start(cls, earlier_seconds: float) -> "_Stopwatch":
        now = time.perf_counter()
        return cls(earlier_seconds, now, now)

    @property
    def seconds(self) -> float:
        return self.earlier_seconds + time.perf_counter() - self.started

    def is_due(self, interval: float) -> bool:
        """Say whether so many seconds have gone since this last said yes."""
        now = time.perf_counter()
        if now - self.saved < interval:
            return False
        self.saved = now
        return True


def run_plan(
    plan: TrainPlan,
    output: Path,
    *,
    resume: bool = False,
    seconds_between_checkpoints: float = SECONDS_BETWEEN_CHECKPOINTS,
    watch: Watcher,
) -> list[Trained]:
    """Train every prefix of a plan; write each one's file, report and picture.

    The checkpoint stays: whoever is done with all that follows calls `discard_checkpoint`.

    Args:
        plan: what to train.
        output: a folder, made when it is missing. A single run writes into it, several into
            folders of their names.
        resume: go on where a checkpoint in `output` ends; begin where there is none.
        seconds_between_checkpoints: how much work a kill may cost.
        watch: called with all runs at first, then after every step with those that took part; it
            may raise TrainingStopped, which leaves a checkpoint and goes on to the caller.

    Raises:
        TrainingError: for problems of plan, data or checkpoint, all before the first step; or
            when no run came as far as one evaluation.
        PrefixError: when the backbone cannot be loaded or a file cannot be accepted.
    """
    checkpoint = output / CHECKPOINT
    if checkpoint.exists() and not resume:
        raise TrainingError(
            f"{output} holds a training that did not come to its end: add --resume to go on with "
            "it, or choose another output folder"
        )
    data = _load_all(plan.runs)
    backbone = load_backbone(plan.backbone, device=plan.device, dtype=plan.dtype, to_train=True)
    runs = [_start(config, task, backbone) for config, task in zip(plan.runs, data, strict=True)]
    identity = Identity.of(plan, data, backbone)
    earlier = load_checkpoint(checkpoint, identity, runs) if checkpoint.exists() else 0.0
    output.mkdir(parents=True, exist_ok=True)
    stopwatch = _Stopwatch.start(earlier)
    watch(runs)

    def after_step(active: Sequence[Run]) -> None:
        watch(active)
        if stopwatch.is_due(seconds_between_checkpoints):
            save_checkpoint(checkpoint, identity, runs, seconds=stopwatch.seconds)

    try:
        train(backbone, runs, tokens_per_batch=plan.tokens_per_batch, after_step=after_step)
    except TrainingStopped:
        save_checkpoint(checkpoint, identity, runs, seconds=stopwatch.seconds)
        raise
    save_checkpoint(checkpoint, identity, runs, seconds=stopwatch.seconds)
    timing = Timing(stopwatch.seconds, len(runs), sum(run.num_rows_seen for run in runs))
    return _write_all(plan, output, runs, data, backbone=backbone, timing=timing)


def discard_checkpoint(output: Path) -> None:
    """Forget how a training went on, once nothing is left to be done for it."""
    (output / CHECKPOINT).unlink(missing_ok=True)


def best_of_each_task(trained: Sequence[Trained]) -> list[Trained]:
    """Choose the run of each task that did best on its validation rows."""
    best: dict[str, Trained] = {}
    for one in trained:
        leader = best.get(one.config.task)
        if leader is None or one.merit > leader.merit:
            best[one.config.task] = one
    return list(best.values())


def _load_all(configs: Sequence[TrainConfig]) -> list[TaskData]:
    """Read every task's files, those of several runs once; tell the problems of all of them."""
    loaded: dict[str, TaskData] = {}
    problems: dict[DataProblem, None] = {}
    keys = [config.model_dump_json(include=set(_DATA_FIELDS)) for config in configs]
    for key, config in zip(keys, configs, strict=True):
        if key not in loaded:
            try:
                loaded[key] = load_task(config)
            except DataRejected as error:
                problems |= dict.fromkeys(error.problems)
    if problems:
        raise DataRejected(tuple(problems))
    return [loaded[key] for key in keys]


_DATA_FIELDS: Final = (
    "task_type",
    "train",
    "validation",
    "test",
    "validation_fraction",
    "max_rows",
    "text_column",
    "pair_column",
    "label_column",
    "label_separator",
    "labels",
    "problem_type",
    "template",
    "pair_template",
)
"""The settings that decide what is read, and nothing else."""


def _start(config: TrainConfig, data: TaskData, backbone: Backbone) -> Run:
    try:
        return Run.start(config, data, backbone)
    except ValidationError as error:
        reasons = "; ".join(detail["msg"] for detail in error.errors())
        raise PlanRejected(
            f"{config.run_name} does not fit the backbone {backbone.fingerprint.name}: {reasons}"
        ) from error


def _write_all(
    plan: TrainPlan,
    output: Path,
    runs: Sequence[Run],
    data: Sequence[TaskData],
    *,
    backbone: Backbone,
    timing: Timing,
) -> list[Trained]:
    trained = []
    for run, task in zip(runs, data, strict=True):
        if run.best is None:
            continue
        folder = output if len(runs) == 1 else output / run.config.run_name
        folder.mkdir(parents=True, exist_ok=True)
        finished = finish(
            backbone,
            run.config,
            task,
            run.best.prefix,
            tokens_per_batch=plan.tokens_per_batch,
        )
        file = folder / PREFIX_FILE
        file.write_bytes(finished.data)
        draw_curve(run, folder / "curve.png")
        draw_confusion(run.config.run_name, finished.validation, folder / "confusion.png")
        write_report(folder / "report.json", run, task, finished, backbone=backbone, timing=timing)
        trained.append(Trained(run.config, file, finished))
    if not trained:
        raise TrainingError("; ".join(f"{run.config.run_name} {run.ended}" for run in runs))
    if len(runs) > 1:
        draw_overview(runs, output / "overview.png")
    return trained
