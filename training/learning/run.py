"""Run: the training of one prefix, from its first step to its best evaluation."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.utils import clip_grad_norm_

from prefixes import Prefix
from prefixes.backbone import Backbone
from training.data.lessons import Lessons, TeacherFacts
from training.data.tokenized import TokenizedRows
from training.examples import TaskData
from training.learning.base_run import BaseRun, loss_settings_of
from training.learning.evaluate import merged_outputs
from training.learning.initialization import real_tokens
from training.learning.learner import PrefixLearner, describe
from training.learning.random_numbers import generator_for
from training.learning.taught_rows import TaughtRows
from training.settings.config import TrainConfig
from training.tasks import Piece, definition_of


@dataclass(slots=True, eq=False, kw_only=True)
class Run(BaseRun):
    """A learner with its rows, its optimizer and its results.

    `average` is the moving average of the learner, if that is kept. `best_prefix` is the folded
    prefix of the best evaluation. `taught` are its rows as a teacher has answered them, if it has
    one.
    """

    learner: PrefixLearner
    average: PrefixLearner | None = None
    optimizer: torch.optim.Optimizer
    best_prefix: Prefix | None = None
    taught: TaughtRows | None = None

    @classmethod
    def start(
        cls,
        config: TrainConfig,
        data: TaskData,
        backbone: Backbone,
        rows: TokenizedRows | None = None,
        lessons: Lessons | None = None,
    ) -> Self:
        """Initialize a learner; tokenize the rows of its task unless `rows` has them."""
        spec = describe(config, data, backbone)
        learner = PrefixLearner(
            spec,
            initializer_range=float(backbone.model.config.initializer_range),
            projection_size=config.projection_size,
            seed=config.seed,
        ).to(backbone.device)
        rows = rows or TokenizedRows.of(spec, data, backbone, snap=config.snap_to_words)
        if config.begins_as_activations:
            learner.begin_as(real_tokens(spec, rows.encoded, backbone, seed=config.seed))
        return cls(
            config=config,
            spec=spec,
            definition=definition_of(config.task_type),
            rows=rows,
            learner=learner,
            optimizer=_optimizer(config, learner.prefix_parameters(), learner.head_parameters()),
            loss_settings=loss_settings_of(config, data),
            warnings=rows.data.warnings,
            taught=None if lessons is None else TaughtRows(config, rows, lessons),
        )

    def share_prefix(self, owner: "Run") -> None:
        """Use the prefix parameters of another run. Only the optimizer of `owner` updates them.

        They sum the gradients of both runs. `owner` must come first in every step.
        """
        self.learner.table = owner.learner.table
        self.learner.projection = owner.learner.projection
        self.optimizer = _optimizer(self.config, [], self.learner.head_parameters())

    @property
    def kept(self) -> PrefixLearner:
        """The measured and kept weights: the learner, or its average."""
        return self.average or self.learner

    def generator(self, purpose: str) -> torch.Generator:
        """Return the random generator of one purpose in the next step."""
        return generator_for(self.config.seed, purpose, self.step)

    def num_rows_in(self, steps: int) -> int:
        """Count the rows of the first `steps` steps, labeled or not."""
        return BaseRun.num_rows_in(self, steps) + steps * self.config.unlabeled_per_step

    def next_pieces(self) -> list[Piece]:
        """Return the pieces of the next step, with the answers of the teacher if there is one."""
        rows = self.next_rows()
        if self.taught is None:
            return [self.pieces[row] for row in rows]
        return self.taught.pieces_of_step(rows, self.step)

    def step_loss(self, outputs: Sequence[Sequence[Tensor]], pieces: Sequence[Piece]) -> Tensor:
        """Add up the losses of pieces of a step."""
        loss = self.loss(outputs, [piece.target for piece in pieces])
        return loss if self.taught is None else self.taught.loss(loss, outputs, pieces)

    @property
    def teacher(self) -> TeacherFacts | None:
        return None if self.taught is None else self.taught.lessons.teacher

    def advance(self, loss: float) -> None:
        """Take one optimizer step with the accumulated gradients."""
        if self.diverged(loss):
            return
        config = self.config
        clip_grad_norm_(self.learner.parameters(), config.max_gradient_norm)
        factor = self.learning_rate_factor
        peaks = (config.learning_rate, config.head_learning_rate)
        for group, peak in zip(self.optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * factor
        self.optimizer.step()
        self.optimizer.zero_grad()
        if config.averaging:
            self.follow()
        self.stepped(loss)

    def follow(self) -> None:
        """Move the average towards the learner.

        The decay grows to its full value as in TensorFlow's `ExponentialMovingAverage`:
        (1 + n) / (10 + n) after n steps.
        """
        if self.average is None:
            self.average = deepcopy(self.learner)
        decay = min(self.config.averaging, (1 + self.step) / (10 + self.step))
        pairs = zip(self.average.parameters(), self.learner.parameters(), strict=True)
        with torch.no_grad():
            for mean, value in pairs:
                mean.lerp_(value, 1 - decay)

    def evaluate(self, backbone: Backbone, tokens_per_batch: int) -> None:
        """Measure the prefix as served, and keep it if it is the best so far."""
        scale, windows = self.rows.scale, self.rows.held_out.windows
        prefix = self.kept.fold(center=scale.center, spread=scale.spread)
        outputs = merged_outputs(backbone, prefix, windows, tokens_per_batch=tokens_per_batch)
        if self.record(outputs):
            self.best_prefix = prefix


def _optimizer(
    config: TrainConfig, prefix: Sequence[Parameter], head: Sequence[Parameter]
) -> torch.optim.Optimizer:
    # The order of the groups is that of the two learning rates in `Run.advance`.
    groups = [{"params": prefix}, {"params": head}]
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay)
