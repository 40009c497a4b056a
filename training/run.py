"""Run: one prefix on its way, from its first step to its best evaluation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from prefixes import Prefix
from prefixes.backbone import Backbone, EncodedInput
from training.beginning import real_tokens
from training.config import TrainConfig
from training.evaluate import outputs_of
from training.examples import Examples, TaskData
from training.learner import PrefixLearner, describe
from training.noise import generator_for
from training.schedule import learning_rate_factor
from training.tasks import KINDS, Outputs, Piece, Scale, TaskKind


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the validation rows said after `step` steps; losses are means over rows."""

    step: int
    epoch: float
    train_loss: float
    loss: float
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Best:
    """The best prefix so far, folded, and the evaluation that made it the best."""

    evaluation: Evaluation
    prefix: Prefix


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """The validation rows, tokenized."""

    examples: Examples[Any]
    encoded: Sequence[EncodedInput]
    pieces: Sequence[Piece]


@dataclass(slots=True, eq=False)
class Run:
    """A learner with its rows, its optimiser and what it has come to.

    `pieces` are what it learns from: its rows, or the windows of them. `ended` says why the run is
    over, and is None while it is not.
    """

    config: TrainConfig
    kind: TaskKind[Any]
    learner: PrefixLearner
    optimizer: torch.optim.Optimizer
    pieces: Sequence[Piece]
    held_out: HeldOut
    scale: Scale
    step: int = 0
    ended: str | None = None
    best: Best | None = None
    losses: list[float] = field(default_factory=list)
    history: list[Evaluation] = field(default_factory=list)

    @classmethod
    def start(cls, config: TrainConfig, data: TaskData, backbone: Backbone) -> Self:
        """Initialise a learner and tokenize all rows of its task."""
        kind = KINDS[config.task_type]
        spec = describe(config, data, backbone)
        learner = PrefixLearner(
            spec,
            initializer_range=float(backbone.model.config.initializer_range),
            projection_size=config.projection_size,
            seed=config.seed,
        ).to(backbone.device)
        encoded, others = (
            kind.encode(backbone.texts, spec, part) for part in (data.train, data.validation)
        )
        if config.begins_as_activations:
            learner.begin_as(real_tokens(spec, encoded, backbone, seed=config.seed))
        scale = kind.scale(spec, data.train.truths)
        pieces, held_out_pieces = (
            [
                Piece(piece.texts, scale.standardise(piece.target))
                for truth, texts in zip(part.truths, inputs, strict=True)
                for piece in kind.pieces(spec, truth, texts)
            ]
            for part, inputs in ((data.train, encoded), (data.validation, others))
        )
        return cls(
            config=config,
            kind=kind,
            learner=learner,
            optimizer=_optimizer(config, learner),
            pieces=pieces,
            held_out=HeldOut(data.validation, others, held_out_pieces),
            scale=scale,
        )

    @property
    def rows_per_step(self) -> int:
        return self.config.batch_size * self.config.gradient_accumulation

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(len(self.pieces) / self.rows_per_step)

    @property
    def total_steps(self) -> int:
        steps = math.ceil(self.config.epochs * self.steps_per_epoch)
        steps = max(steps, self.config.min_steps)
        return min(steps, self.config.max_steps or steps)

    @property
    def num_rows_seen(self) -> int:
        epochs, steps = divmod(self.step, self.steps_per_epoch)
        return epochs * len(self.pieces) + steps * self.rows_per_step

    @property
    def is_evaluation_due(self) -> bool:
        every = self.config.evaluate_every or self.steps_per_epoch
        return self.step % every == 0 or self.step == self.total_steps

    def next_rows(self) -> list[int]:
        """List the rows of the coming step; the order of an epoch depends on the seed alone."""
        epoch, place = divmod(self.step, self.steps_per_epoch)
        generator = generator_for(self.config.seed, "order", epoch)
        order = torch.randperm(len(self.pieces), generator=generator)
        start = place * self.rows_per_step
        return [int(row) for row in order[start : start + self.rows_per_step]]

    def generator(self, purpose: str) -> torch.Generator:
        """Make the generator of one purpose in the coming step."""
        return generator_for(self.config.seed, purpose, self.step)

    def advance(self, loss: float) -> None:
        """Let the optimiser take one step along the gradients that have been gathered."""
        if not math.isfinite(loss):
            self.ended = f"diverged: the loss was {loss} at step {self.step}; lower learning_rate"
            return
        config = self.config
        clip_grad_norm_(self.learner.parameters(), config.max_gradient_norm)
        factor = learning_rate_factor(
            config.schedule,
            self.step,
            self.total_steps,
            warmup=config.warmup,
            steps_per_epoch=self.steps_per_epoch,
        )
        peaks = (config.learning_rate, config.head_learning_rate)
        for group, peak in zip(self.optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * factor
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.losses.append(loss)
        self.step += 1

    def loss(self, outputs: Sequence[Sequence[Tensor]], targets: Sequence[Tensor]) -> Tensor:
        """Add up the losses of pieces, from the outputs `[outputs]` or `[S, outputs]` of each one's
        texts.
        """
        return self.kind.loss(self.learner.spec, outputs, targets)

    def weight(self, pieces: Sequence[Piece]) -> float:
        """Give what the losses of pieces are divided by to be their mean."""
        # One where nothing has a target: the loss of nothing is zero.
        return sum(self.kind.weight(piece.target) for piece in pieces) or 1.0

    def evaluate(self, backbone: Backbone, tokens_per_batch: int) -> None:
        """Measure the prefix as it would be served; keep it if it is the best so far."""
        prefix = self.learner.fold(centre=self.scale.centre, spread=self.scale.spread)
        encoded = self.held_out.encoded
        outputs = outputs_of(backbone, prefix, encoded, tokens_per_batch=tokens_per_batch)
        measurement = self.kind.measure(prefix.spec, self.held_out.examples, encoded, outputs)
        since = self.history[-1].step if self.history else 0
        self._record(
            prefix,
            Evaluation(
                step=self.step,
                epoch=self.step / self.steps_per_epoch,
                train_loss=float(np.mean(self.losses[since:])),
                loss=self._held_out_loss(outputs),
                metrics=measurement.metrics,
            ),
        )

    def _held_out_loss(self, outputs: Sequence[Outputs]) -> float:
        """Give the mean loss of the validation rows, in batches as large as those of training."""
        pieces = self.held_out.pieces
        flat = (torch.from_numpy(values) for texts in outputs for values in texts)
        each = [[self.scale.standardise(next(flat)) for _ in piece.texts] for piece in pieces]
        targets = [piece.target for piece in pieces]
        size = self.config.batch_size
        losses = (
            float(self.loss(each[start : start + size], targets[start : start + size]))
            for start in range(0, len(pieces), size)
        )
        return sum(losses) / self.weight(pieces)

    def _record(self, prefix: Prefix, evaluation: Evaluation) -> None:
        self.history.append(evaluation)
        if self.best is None or self._merit(evaluation) > self._merit(self.best.evaluation):
            self.best = Best(evaluation, prefix)
        stale = sum(one.step > self.best.evaluation.step for one in self.history)
        if self.step >= self.total_steps:
            self.ended = "all steps were taken"
        elif self.config.patience is not None and stale >= self.config.patience:
            self.ended = f"no better in {stale} evaluations"

    def _merit(self, evaluation: Evaluation) -> tuple[float, float]:
        return evaluation.metrics[self.config.metric], -evaluation.loss


def _optimizer(config: TrainConfig, learner: PrefixLearner) -> torch.optim.Optimizer:
    # The order of the groups is that of the two learning rates in `Run.advance`.
    groups = [{"params": learner.prefix_parameters()}, {"params": learner.head_parameters()}]
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay)
