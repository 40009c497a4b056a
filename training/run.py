"""Run: one prefix on its way, from its first step to its best evaluation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_

from prefixes import Prefix
from prefixes.backbone import Backbone, EncodedText, PackedBatch
from prefixes.spec import ProblemType
from training.config import TrainConfig
from training.data import TaskData
from training.evaluate import logits_of
from training.learner import PrefixLearner, describe
from training.metrics import measure
from training.noise import generator_for
from training.schedule import learning_rate_factor


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

    `ended` says why the run is over, and is None while it is not.
    """

    config: TrainConfig
    learner: PrefixLearner
    optimizer: torch.optim.Optimizer
    texts: Sequence[EncodedText]
    targets: Tensor
    held_out: Sequence[EncodedText]
    held_out_targets: NDArray[Any]
    centre: float = 0.0
    spread: float = 1.0
    step: int = 0
    ended: str | None = None
    best: Best | None = None
    losses: list[float] = field(default_factory=list)
    history: list[Evaluation] = field(default_factory=list)

    @classmethod
    def start(cls, config: TrainConfig, data: TaskData, backbone: Backbone) -> Self:
        """Initialise a learner and tokenize all rows of its task."""
        spec = describe(config, data, backbone)
        learner = PrefixLearner(
            spec,
            initializer_range=float(backbone.model.config.initializer_range),
            projection_size=config.projection_size,
            seed=config.seed,
        ).to(backbone.device)
        texts = [text for (text,) in backbone.texts.encode(spec, data.train.inputs)]
        if config.begins_as_activations:
            learner.begin_as(_activations(config, texts, backbone))
        centre, spread = _scale(config.problem_type, data.train.targets)
        targets = _standardised(data.train.targets, centre, spread)
        return cls(
            config=config,
            learner=learner,
            optimizer=_optimizer(config, learner),
            texts=texts,
            targets=torch.from_numpy(targets).to(backbone.device),
            held_out=[text for (text,) in backbone.texts.encode(spec, data.validation.inputs)],
            held_out_targets=data.validation.targets,
            centre=centre,
            spread=spread,
        )

    @property
    def rows_per_step(self) -> int:
        return self.config.batch_size * self.config.gradient_accumulation

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(len(self.texts) / self.rows_per_step)

    @property
    def total_steps(self) -> int:
        steps = math.ceil(self.config.epochs * self.steps_per_epoch)
        steps = max(steps, self.config.min_steps)
        return min(steps, self.config.max_steps or steps)

    @property
    def num_rows_seen(self) -> int:
        epochs, steps = divmod(self.step, self.steps_per_epoch)
        return epochs * len(self.texts) + steps * self.rows_per_step

    @property
    def is_evaluation_due(self) -> bool:
        every = self.config.evaluate_every or self.steps_per_epoch
        return self.step % every == 0 or self.step == self.total_steps

    def next_rows(self) -> list[int]:
        """List the rows of the coming step; the order of an epoch depends on the seed alone."""
        epoch, place = divmod(self.step, self.steps_per_epoch)
        generator = generator_for(self.config.seed, "order", epoch)
        order = torch.randperm(len(self.texts), generator=generator)
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
            config.schedule, self.step, self.total_steps, warmup=config.warmup
        )
        peaks = (config.learning_rate, config.head_learning_rate)
        for group, peak in zip(self.optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * factor
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.losses.append(loss)
        self.step += 1

    def evaluate(self, backbone: Backbone, tokens_per_batch: int) -> None:
        """Measure the prefix as it would be served; keep it if it is the best so far."""
        prefix = self.learner.fold(centre=self.centre, spread=self.spread)
        logits = logits_of(backbone, prefix, self.held_out, tokens_per_batch=tokens_per_batch)
        spec = prefix.spec
        measurement = measure(spec.problem_type, spec.labels, logits, self.held_out_targets)
        loss = row_losses(
            spec.problem_type,
            *(
                torch.from_numpy(_standardised(values, self.centre, self.spread))
                for values in (logits, self.held_out_targets)
            ),
        )
        since = self.history[-1].step if self.history else 0
        self._record(
            prefix,
            Evaluation(
                step=self.step,
                epoch=self.step / self.steps_per_epoch,
                train_loss=float(np.mean(self.losses[since:])),
                loss=float(loss.mean()),
                metrics=measurement.metrics,
            ),
        )

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


def row_losses(problem_type: ProblemType, logits: Tensor, targets: Tensor) -> Tensor:
    """Give the loss `[n]` of each row from its logits `[n, C]`."""
    match problem_type:
        case "single_label_classification":
            return functional.cross_entropy(logits, targets, reduction="none")
        case "multi_label_classification":
            losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        case "regression":
            losses = functional.mse_loss(logits, targets, reduction="none")
    return losses.mean(dim=1)


def _activations(config: TrainConfig, texts: Sequence[EncodedText], backbone: Backbone) -> Tensor:
    """Draw P tokens of as many training texts; give their keys and values, `[L, 2, P, H, D]`."""
    generator = generator_for(config.seed, "activations")
    chosen = torch.randperm(len(texts), generator=generator)[: config.prefix_length]
    batch = PackedBatch.pack([backbone.row(texts[int(text)]) for text in chosen], backbone.device)
    order = torch.randperm(batch.num_tokens, generator=generator)
    tokens = order[torch.arange(config.prefix_length) % batch.num_tokens]
    return backbone.keys_and_values(batch)[:, :, tokens.to(backbone.device)]


def _optimizer(config: TrainConfig, learner: PrefixLearner) -> torch.optim.Optimizer:
    # The order of the groups is that of the two learning rates in `Run.advance`.
    groups = [{"params": learner.prefix_parameters()}, {"params": learner.head_parameters()}]
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay)


def _scale(problem_type: ProblemType, targets: NDArray[Any]) -> tuple[float, float]:
    """Find a regression's mean and deviation: its head learns targets of mean 0, deviation 1."""
    if problem_type != "regression":
        return 0.0, 1.0
    return float(targets.mean()), float(targets.std())


def _standardised(values: NDArray[Any], centre: float, spread: float) -> NDArray[Any]:
    """Bring a regression's numbers to mean 0 and deviation 1; leave label numbers as they are."""
    return values if (centre, spread) == (0.0, 1.0) else (values - centre) / spread
