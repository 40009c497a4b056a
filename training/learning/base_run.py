"""BaseRun: the schedule, history and best evaluation of a run of any method."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prefixes import PrefixSpec
from training.data.lessons import TeacherFacts
from training.data.tokenized import TokenizedRows
from training.examples import TaskData
from training.learning.initialization import StartingPrefix
from training.learning.random_numbers import generator_for
from training.learning.schedule import learning_rate_factor
from training.settings.config import TrainConfig
from training.tasks import Outputs, Piece, TaskDefinition, definition_of
from training.tasks.losses import PLAIN, LossSettings


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Metrics of the validation rows after `step` steps; losses are means over rows."""

    step: int
    epoch: float
    train_loss: float
    loss: float
    metrics: dict[str, float]


@dataclass(slots=True, eq=False, kw_only=True)
class BaseRun:
    """A task that is learned step by step.

    `is_teacher` says that it is a model whose answers a prefix will learn. `warnings` are about the
    rows. `starting_prefix` is the published prefix that it starts from, if any. `ended` is the
    reason for its end, None while it runs.
    """

    config: TrainConfig
    spec: PrefixSpec
    definition: TaskDefinition[Any]
    rows: TokenizedRows
    loss_settings: LossSettings = PLAIN
    warnings: tuple[str, ...] = ()
    starting_prefix: StartingPrefix | None = None
    is_teacher: bool = False
    step: int = 0
    ended: str | None = None
    losses: list[float] = field(default_factory=list)
    history: list[Evaluation] = field(default_factory=list)

    @property
    def teacher(self) -> TeacherFacts | None:
        """The teacher that it learns from, if any."""
        return None

    @property
    def pieces(self) -> Sequence[Piece]:
        """The pieces it learns from: its rows, or their windows."""
        return self.rows.pieces

    # Schedule

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(len(self.pieces) / self.config.rows_per_step)

    @property
    def total_steps(self) -> int:
        return self.config.num_steps(len(self.pieces))

    @property
    def num_rows_seen(self) -> int:
        return self.num_rows_in(self.step)

    def num_rows_in(self, steps: int) -> int:
        """Count the rows of the first `steps` steps."""
        epochs, rest = divmod(steps, self.steps_per_epoch)
        return epochs * len(self.pieces) + rest * self.config.rows_per_step

    @property
    def is_evaluation_due(self) -> bool:
        every = self.config.evaluate_every or self.steps_per_epoch
        return self.step % every == 0 or self.step == self.total_steps

    @property
    def learning_rate_factor(self) -> float:
        """The factor of the peak learning rates in the next step."""
        return learning_rate_factor(
            self.config.schedule,
            self.step,
            self.total_steps,
            warmup=self.config.warmup,
            steps_per_epoch=self.steps_per_epoch,
        )

    def next_rows(self) -> list[int]:
        """List the rows of the next step. The order of an epoch depends only on the seed."""
        epoch, place = divmod(self.step, self.steps_per_epoch)
        generator = generator_for(self.config.seed, "order", epoch)
        order = torch.randperm(len(self.pieces), generator=generator)
        start = place * self.config.rows_per_step
        return [int(row) for row in order[start : start + self.config.rows_per_step]]

    # Results

    @property
    def best(self) -> Evaluation | None:
        """The evaluation with the best metric; ties go to the lower loss, then the earlier step."""
        return max(self.history, key=self._merit, default=None)

    @property
    def merit(self) -> tuple[float, float]:
        """The sort key of the best evaluation: its metric, then a lower loss."""
        assert self.best is not None
        return self._merit(self.best)

    def stepped(self, loss: float) -> None:
        """Count a step that was taken."""
        self.losses.append(loss)
        self.step += 1

    def diverged(self, loss: float) -> bool:
        """End the run if the loss is not finite; returns whether it ended."""
        if math.isfinite(loss):
            return False
        self.ended = f"diverged: the loss was {loss} at step {self.step}; lower learning_rate"
        return True

    def record(self, outputs: Sequence[Outputs]) -> bool:
        """Add an evaluation of the validation rows; return whether it is the best so far."""
        held_out = self.rows.held_out
        if not all(np.isfinite(values).all() for texts in outputs for values in texts):
            return not self.diverged(math.nan)
        measured = self.definition.measure(self.spec, held_out.examples, held_out.encoded, outputs)
        since = self.history[-1].step if self.history else 0
        evaluation = Evaluation(
            step=self.step,
            epoch=self.step / self.steps_per_epoch,
            train_loss=float(np.mean(self.losses[since:])),
            loss=self._held_out_loss(outputs),
            metrics=measured.metrics,
        )
        if self.diverged(evaluation.loss):
            return False
        self.history.append(evaluation)
        best = self.best
        assert best is not None
        stale = sum(one.step > best.step for one in self.history)
        if self.step >= self.total_steps:
            self.ended = "all steps were taken"
        elif self.config.patience is not None and stale >= self.config.patience:
            self.ended = f"no better in {stale} evaluations"
        return best is evaluation

    def _merit(self, evaluation: Evaluation) -> tuple[float, float]:
        return evaluation.metrics[self.config.metric], -evaluation.loss

    # Loss

    def loss(self, outputs: Sequence[Sequence[Tensor]], targets: Sequence[Tensor]) -> Tensor:
        """Add up the losses of pieces.

        The outputs of each text of a piece are `[outputs]` or `[S, outputs]`.
        """
        settings = self.loss_settings.to(outputs[0][0].device)
        return self.definition.loss(self.spec, outputs, targets, settings)

    def weight(self, pieces: Sequence[Piece]) -> float:
        """Return the divisor of the summed losses of pieces for their mean."""
        # One where nothing has a target: the loss of nothing is zero.
        return sum(self.definition.weight(piece.target) for piece in pieces) or 1.0

    def _held_out_loss(self, outputs: Sequence[Outputs]) -> float:
        """Return the mean loss of the validation rows, in batches of the training size."""
        pieces, scale = self.rows.held_out.pieces, self.rows.scale
        flat = (torch.from_numpy(values) for texts in outputs for values in texts)
        total = weight = 0.0
        for start in range(0, len(pieces), self.config.batch_size):
            some = pieces[start : start + self.config.batch_size]
            each = [[scale.standardize(next(flat)) for _ in piece.texts] for piece in some]
            total += float(self.loss(each, [piece.target for piece in some]))
            weight += sum(self.definition.weight(piece.target) for piece in some)
        return total / (weight or 1.0)


def loss_settings_of(config: TrainConfig, data: TaskData) -> LossSettings:
    """Return the loss settings, with class weights from the counts of labels."""
    weights = None
    if config.class_weights == "balanced":
        weights = definition_of(config.task_type).class_weights(data.labels, data.train.truths)
    return LossSettings(None if weights is None else torch.tensor(weights), config.label_smoothing)
