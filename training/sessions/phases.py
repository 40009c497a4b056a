"""PhaseRunner: the steps of a training, watched, timed, and saved now and then."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from prefixes.backbone import Backbone
from training.errors import TrainingStopped
from training.learning.loop import train
from training.learning.parallel import Processes
from training.learning.run import Run
from training.sessions.checkpoint import Identity, save_checkpoint
from training.sessions.plan_runs import PlanRuns

Watcher = Callable[[Sequence[Run]], None]


@dataclass(slots=True)
class Stopwatch:
    """Training time, including the time before a resume, and the time of the last checkpoint."""

    earlier_seconds: float
    started: float
    saved: float

    @classmethod
    def start(cls, earlier_seconds: float) -> "Stopwatch":
        now = time.perf_counter()
        return cls(earlier_seconds, now, now)

    @property
    def seconds(self) -> float:
        return self.earlier_seconds + time.perf_counter() - self.started

    def is_due(self, interval: float) -> bool:
        """Return whether `interval` seconds have passed since the last True."""
        now = time.perf_counter()
        if now - self.saved < interval:
            return False
        self.saved = now
        return True


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PhaseRunner:
    """Runs the steps of every phase, with progress and checkpoints."""

    backbone: Backbone
    processes: Processes
    checkpoint: Path
    identity: Identity
    stopwatch: Stopwatch
    seconds_between_checkpoints: float
    tokens_per_batch: int
    watch: Watcher

    @property
    def saves(self) -> bool:
        """Whether this process is the one that writes files."""
        return self.processes.number == 0

    def go(self, plan_runs: PlanRuns) -> None:
        """Train until all runs have ended.

        Raises:
            TrainingStopped: if `watch` raised it. A checkpoint is saved first.
        """

        def after_step(active: Sequence[Run]) -> None:
            plan_runs.go_on()
            self._show(active)
            if self.stopwatch.is_due(self.seconds_between_checkpoints):
                self._save(plan_runs)

        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        self._show(plan_runs.runs)
        try:
            train(
                self.backbone,
                plan_runs.runs,
                tokens_per_batch=self.tokens_per_batch,
                after_step=after_step,
                processes=self.processes,
            )
        except TrainingStopped:
            self._save(plan_runs)
            raise
        self._save(plan_runs)

    def _show(self, runs: Sequence[Run]) -> None:
        """Call `watch`. All processes stop together, because one would wait for the others."""
        try:
            self.watch(runs)
            stopped = None
        except TrainingStopped as error:
            stopped = error
        num_stopped = torch.tensor([float(stopped is not None)], device=self.backbone.device)
        self.processes.add_up([num_stopped])
        if num_stopped.item():
            raise stopped or TrainingStopped("another process of the training was stopped")

    def _save(self, plan_runs: PlanRuns) -> None:
        if not self.saves:
            return
        save_checkpoint(
            self.checkpoint,
            self.identity,
            plan_runs.runs,
            seconds=self.stopwatch.seconds,
            shared_sha256=plan_runs.shared.sha256 if plan_runs.shared else None,
            journal=plan_runs.journal,
        )
