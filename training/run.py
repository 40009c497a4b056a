"""Run: one prefix on its way, from its first step to its best evaluation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.utils import clip_grad_norm_

from prefixes import Prefix
from prefixes.backbone import Backbone
from training.beginning import Begun, real_tokens
from training.config import TrainConfig
from training.evaluate import outputs_of
from training.examples import TaskData
from training.inspection import cut_off
from training.learner import PrefixLearner, describe
from training.noise import generator_for
from training.schedule import learning_rate_factor
from training.tasks import KINDS, Outputs, Piece, Scale, TaskKind
from training.tokenized import HeldOut, Tokenized


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


@dataclass(slots=True, eq=False)
class Run:
    """A learner with its rows, its optimiser and what it has come to.

    `pieces` are what it learns from: its rows, or the windows of them. `class_weights` are `[C]`
    where they are wanted, and `doubts` what a person should know of the rows. `begun` says which
    published prefix it has begun as, if any; `ended` why it is over, None while it is not.
    """

    config: TrainConfig
    kind: TaskKind[Any]
    learner: PrefixLearner
    optimizer: torch.optim.Optimizer
    pieces: Sequence[Piece]
    held_out: HeldOut
    scale: Scale
    class_weights: Tensor | None = None
    doubts: tuple[str, ...] = ()
    begun: Begun | None = None
    step: int = 0
    ended: str | None = None
    best: Best | None = None
    losses: list[float] = field(default_factory=list)
    history: list[Evaluation] = field(default_factory=list)

    @classmethod
    def start(
        cls,
        config: TrainConfig,
        data: TaskData,
        backbone: Backbone,
        rows: Tokenized | None = None,
    ) -> Self:
        """Initialise a learner; tokenize all rows of its task, where nobody has done so."""
        spec = describe(config, data, backbone)
        learner = PrefixLearner(
            spec,
            initializer_range=float(backbone.model.config.initializer_range),
            projection_size=config.projection_size,
            seed=config.seed,
        ).to(backbone.device)
        rows = rows or Tokenized.of(spec, data, backbone)
        if config.begins_as_activations:
            learner.begin_as(real_tokens(spec, rows.encoded, backbone, seed=config.seed))
        return cls(
            config=config,
            kind=KINDS[config.task_type],
            learner=learner,
            optimizer=_optimizer(config, learner.prefix_parameters(), learner.head_parameters()),
            pieces=rows.pieces,
            held_out=rows.held_out,
            scale=rows.scale,
            class_weights=_class_weights(config, data, backbone),
            doubts=(*data.doubts, *cut_off(rows.encoded, spec.max_length)),
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
        return self.num_rows_in(self.step)

    def num_rows_in(self, steps: int) -> int:
        """Count the rows that so many steps from the first see."""
        epochs, rest = divmod(steps, self.steps_per_epoch)
        return epochs * len(self.pieces) + rest * self.rows_per_step

    @property
    def is_evaluation_due(self) -> bool:
        every = self.config.evaluate_every or self.steps_per_epoch
        return self.step % every == 0 or self.step == self.total_steps

    @property
    def merit(self) -> tuple[float, float]:
        """What makes the best evaluation better than another: its metric, then a lower loss."""
        assert self.best is not None
        return self._merit(self.best.evaluation)

    def steer_by(self, owner: "Run") -> None:
        """Steer by the parameters of another run, whose optimiser alone moves them.

        Gradients of both come together there; `owner` must come first in every step.
        """
        self.learner.table = owner.learner.table
        self.learner.projection = owner.learner.projection
        self.optimizer = _optimizer(self.config, [], self.learner.head_parameters())

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
        weights = self.class_weights
        if weights is not None:
            weights = weights.to(outputs[0][0].device)  # those of validation lie on the CPU
        return self.kind.loss(self.learner.spec, outputs, targets, weights)

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
        if self.best is None or self._merit(evaluation) > self.merit:
            self.best = Best(evaluation, prefix)
        stale = sum(one.step > self.best.evaluation.step for one in self.history)
        if self.step >= self.total_steps:
            self.ended = "all steps were taken"
        elif self.config.patience is not None and stale >= self.config.patience:
            self.ended = f"no better in {stale} evaluations"

    def _merit(self, evaluation: Evaluation) -> tuple[float, float]:
        return evaluation.metrics[self.config.metric], -evaluation.loss


def _class_weights(config: TrainConfig, data: TaskData, backbone: Backbone) -> Tensor | None:
    if config.class_weights == "none":
        return None
    weights = KINDS[config.task_type].class_weights(data.labels, data.train.truths)
    return None if weights is None else torch.tensor(weights, device=backbone.device)


def _optimizer(
    config: TrainConfig, prefix: Sequence[Parameter], head: Sequence[Parameter]
) -> torch.optim.Optimizer:
    # The order of the groups is that of the two learning rates in `Run.advance`.
    groups = [{"params": prefix}, {"params": head}]
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay)
