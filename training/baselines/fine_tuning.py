"""Full fine-tuning: every weight of transformers' own model class learns, in padded batches.

It is the baseline of prefixes. Texts, targets, losses, metrics and the schedule are the same as for
a prefix, so that only the method differs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from prefixes.backbone import Backbone
from training.baselines.padded import PaddedModel, batches_by_length
from training.data.tokenized import TokenizedRows
from training.errors import TrainingError
from training.examples import Examples, TaskData
from training.learning.base_run import BaseRun, loss_settings_of
from training.learning.learner import describe
from training.learning.random_numbers import generator_for
from training.settings.config import TrainConfig
from training.tasks import Piece, definition_of
from training.tasks.metrics import Measurement

Adapt = Callable[[Any], nn.Module]


@dataclass(slots=True, eq=False, kw_only=True)
class FineTuningRun(BaseRun):
    """A model that learns one task: all of it, or the parameters that `adapt` leaves trainable.

    `best_weights` are those of the best evaluation.
    """

    padded: PaddedModel
    optimizer: torch.optim.Optimizer
    tokens_per_batch: int
    best_weights: dict[str, Tensor] | None = None

    @classmethod
    def start(
        cls,
        config: TrainConfig,
        data: TaskData,
        backbone: Backbone,
        *,
        tokens_per_batch: int,
        adapt: Adapt | None = None,
    ) -> Self:
        """Load a copy of the backbone's weights, with a new head."""
        torch.manual_seed(config.seed)  # for the weights of the head, and for dropout
        spec = describe(config, data, backbone)
        padded = PaddedModel.load(spec, backbone)
        if adapt is not None:
            padded = replace(padded, model=adapt(padded.model))
        rows = TokenizedRows.of(spec, data, backbone, snap=config.snap_to_words)
        return cls(
            config=config,
            spec=spec,
            definition=definition_of(config.task_type),
            rows=rows,
            loss_settings=loss_settings_of(config, data),
            warnings=rows.data.warnings,
            padded=padded,
            # One pass over all weights instead of ten: a quarter of a step's time on a CPU.
            optimizer=torch.optim.AdamW(_groups(padded.model, config.weight_decay), fused=True),
            tokens_per_batch=tokens_per_batch,
        )

    def next_rows(self) -> list[int]:
        """Return the rows of the next step: texts of similar lengths, to reduce padding."""
        epoch, place = divmod(self.step, self.steps_per_epoch)
        lengths = [_longest([piece]) for piece in self.pieces]
        generator = generator_for(self.config.seed, "fine-tuning", epoch)
        return batches_by_length(lengths, self.config.rows_per_step, generator)[place]

    def advance(self) -> None:
        """Take one optimizer step."""
        model = self.padded.model
        model.train()
        loss = self._gather([self.pieces[row] for row in self.next_rows()])
        if self.diverged(loss):
            return
        nn.utils.clip_grad_norm_(model.parameters(), self.config.max_gradient_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * self.learning_rate_factor
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.stepped(loss)

    def evaluate(self) -> None:
        """Measure the model on the validation rows, and keep the best weights."""
        scale = self.rows.scale
        outputs = [
            [values * scale.spread + scale.center for values in texts]
            for texts in self.padded.outputs_of(self.rows.held_out.encoded)
        ]
        if self.record(outputs):
            state = self.padded.model.state_dict()
            self.best_weights = {name: x.clone() for name, x in state.items()}

    def finish(self) -> None:
        """Restore the best weights, and rescale the outputs of a regression."""
        assert self.best_weights is not None
        self.padded.model.load_state_dict(self.best_weights)
        if self.spec.problem_type == "regression":
            self.padded.rescale(self.rows.scale.center, self.rows.scale.spread)

    def measure(self, backbone: Backbone, examples: Examples[Any]) -> Measurement:
        """Measure the finished model in the same way as a prefix."""
        encoded = self.definition.encode(backbone.texts, self.spec, examples)
        outputs = self.padded.outputs_of(encoded)
        return self.definition.measure(self.spec, examples, encoded, outputs)

    def _gather(self, pieces: Sequence[Piece]) -> float:
        """Accumulate gradients over passes of at most `tokens_per_batch` tokens."""
        total, weight = 0.0, self.weight(pieces)
        at_once = max(1, self.tokens_per_batch // (_longest(pieces) * len(pieces[0].texts)))
        for start in range(0, len(pieces), at_once):
            part = pieces[start : start + at_once]
            outputs = self.padded.outputs([piece.texts for piece in part])
            loss = self.loss(outputs, [piece.target for piece in part]) / weight
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own gap
            total += float(loss.detach())
        return total


def learn(tuning: FineTuningRun, watch: Callable[[Sequence[BaseRun]], None]) -> None:
    """Train until the run ends, and restore the best weights.

    Raises:
        TrainingError: when there was no evaluation.
    """
    watch([tuning])
    while tuning.ended is None:
        tuning.advance()
        if tuning.ended is None and tuning.is_evaluation_due:
            tuning.evaluate()
        watch([tuning])
    if tuning.best is None:
        raise TrainingError(f"{tuning.config.run_name} {tuning.ended}")
    tuning.finish()


def _longest(pieces: Sequence[Piece]) -> int:
    return max(len(text.token_ids) for piece in pieces for text in piece.texts)


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split the parameters as usual: biases and normalization weights do not decay."""
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in learned if parameter.ndim > 1]
    others = [parameter for parameter in learned if parameter.ndim == 1]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
