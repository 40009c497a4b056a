"""Full fine-tuning, the usual way: every weight of transformers' own model class, padded batches.

The texts, targets, losses and figures are those of `training.tasks`, so that nothing but the
method differs from training a prefix.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
import transformers
from torch import Tensor, nn

from prefixes import PrefixSpec
from prefixes.backbone import Backbone, EncodedInput, EncodedText
from training.config import TrainConfig
from training.examples import Examples, TaskData
from training.learner import describe
from training.noise import generator_for
from training.schedule import learning_rate_factor
from training.tasks import KINDS, Outputs, Piece

CLASSES: Final = {
    "sequence_classification": "AutoModelForSequenceClassification",
    "token_classification": "AutoModelForTokenClassification",
    "question_answering": "AutoModelForQuestionAnswering",
    "multiple_choice": "AutoModelForMultipleChoice",
}
WARMUP: Final = 0.1
CHUNK: Final = 50
TOKENS_AT_ONCE: Final = 4096
"""Bounds one pass: gradients of a batch are gathered over as many as it needs."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the weights are taught: AdamW, a tenth of warm-up, then linearly down to nothing."""

    learning_rate: float
    epochs: int
    weight_decay: float


Figures = Mapping[str, float]
Adapt = Callable[[Any, TrainConfig], nn.Module]


class FineTuning:
    """One model that learns one task: whole, or what `adapt` leaves to be learnt."""

    def __init__(
        self,
        config: TrainConfig,
        data: TaskData,
        backbone: Backbone,
        recipe: Recipe,
        *,
        adapt: Adapt | None = None,
    ) -> None:
        """Load the backbone's weights anew, with a fresh head."""
        self.recipe = recipe
        torch.manual_seed(config.seed)
        self.config = config
        self.kind = KINDS[config.task_type]
        self.spec: PrefixSpec = describe(config, data, backbone)
        self.backbone = backbone
        model_class = getattr(transformers, CLASSES[config.task_type])
        outputs = {} if self.spec.num_labels == 0 else {"num_labels": self.spec.num_labels}
        model = model_class.from_pretrained(backbone.model.name_or_path, **outputs)
        self.model: Any = model if adapt is None else adapt(model, config)

    def run(self, data: TaskData, report: Callable[[str], None]) -> tuple[Figures, Figures]:
        """Train; give the figures of the epoch that was best on the validation rows, on these
        rows and on the test rows.
        """
        encoded = self._encode(data.train)
        pieces = [
            piece
            for truth, texts in zip(data.train.truths, encoded, strict=True)
            for piece in self.kind.pieces(self.spec, truth, texts)
        ]
        recipe = self.recipe
        optimizer = torch.optim.AdamW(_groups(self.model, recipe.weight_decay))
        total = recipe.epochs * -(-len(pieces) // self.config.batch_size)
        best: Figures = {}
        weights, step = {}, 0
        for epoch in range(recipe.epochs):
            self.model.train()
            for rows in _batches_by_length(pieces, self.config, epoch):
                factor = learning_rate_factor("linear", step, total, warmup=WARMUP)
                for group in optimizer.param_groups:
                    group["lr"] = recipe.learning_rate * factor
                self._learn([pieces[row] for row in rows])
                nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
                step += 1
            figures = self.measure(data.validation)
            merit = figures[self.config.metric]
            report(f"{self.config.task}, epoch {epoch + 1} at {recipe}: {merit:.4f}")
            if not best or merit > best[self.config.metric]:
                best = figures
                weights = {name: x.clone() for name, x in self.model.state_dict().items()}
        self.model.load_state_dict(weights)
        assert data.test is not None
        return best, self.measure(data.test)

    @torch.inference_mode()
    def measure(self, examples: Examples[Any]) -> dict[str, float]:
        """Hold the model's answers against what is true, as a prefix's are."""
        self.model.eval()
        encoded = self._encode(examples)
        order = sorted(range(len(encoded)), key=lambda row: len(encoded[row][0].token_ids))
        outputs: dict[int, Outputs] = {}
        for start in range(0, len(order), 16):
            rows = order[start : start + 16]
            found = self._outputs([encoded[row] for row in rows])
            outputs |= {
                row: [np.asarray(x.numpy()) for x in values]
                for row, values in zip(rows, found, strict=True)
            }
        in_order = [outputs[row] for row in range(len(encoded))]
        return self.kind.measure(self.spec, examples, encoded, in_order).metrics

    def _encode(self, examples: Examples[Any]) -> list[EncodedInput]:
        return self.kind.encode(self.backbone.texts, self.spec, examples)

    def _learn(self, pieces: Sequence[Piece]) -> None:
        """Gather the gradients of one batch's mean loss."""
        total = sum(self.kind.weight(piece.target) for piece in pieces)
        longest = max(len(text.token_ids) for piece in pieces for text in piece.texts)
        at_once = max(1, TOKENS_AT_ONCE // (longest * len(pieces[0].texts)))
        for start in range(0, len(pieces), at_once):
            part = pieces[start : start + at_once]
            outputs = self._outputs([piece.texts for piece in part])
            loss = self.kind.loss(self.spec, outputs, [piece.target for piece in part])
            (loss / max(total, 1.0)).backward()  # type: ignore[no-untyped-call]

    def _outputs(self, inputs: Sequence[EncodedInput]) -> list[list[Tensor]]:
        """Run inputs padded to their longest text; give the outputs of each one's texts."""
        texts = [text for encoded in inputs for text in encoded]
        padded = _padded(texts, self.model.config.pad_token_id)
        if self.config.task_type == "multiple_choice":
            padded = {name: x[:, None] for name, x in padded.items()}  # one choice a row
        output = self.model(**padded)
        rows = (
            torch.stack((output.start_logits, output.end_logits), -1)
            if self.config.task_type == "question_answering"
            else output.logits
        )
        lengths = [len(text.token_ids) for text in texts]
        is_per_token = self.spec.head.pooling == "every_token"
        flat = iter(
            [row[:n] if is_per_token else row for row, n in zip(rows, lengths, strict=True)]
        )
        return [[next(flat) for _ in encoded] for encoded in inputs]


def _padded(texts: Sequence[EncodedText], padding: int) -> dict[str, Tensor]:
    longest = max(len(text.token_ids) for text in texts)

    def rows(values: Sequence[Sequence[int]], fill: int) -> Tensor:
        return torch.tensor([[*row, *[fill] * (longest - len(row))] for row in values])

    return {
        "input_ids": rows([text.token_ids for text in texts], padding),
        "token_type_ids": rows([text.token_type_ids for text in texts], 0),
        "attention_mask": rows([[1] * len(text.token_ids) for text in texts], 0),
    }


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Part the weights as usual: biases and normalisation do not decay."""
    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in learnt if parameter.ndim > 1]
    others = [parameter for parameter in learnt if parameter.ndim == 1]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def _batches_by_length(pieces: Sequence[Piece], config: TrainConfig, epoch: int) -> list[list[int]]:
    """Shuffle pieces, then batch neighbours of similar length, so that little is padded."""
    size = config.batch_size
    generator = generator_for(config.seed, "fine-tuning", epoch)
    order = torch.randperm(len(pieces), generator=generator).tolist()
    batches = []
    for start in range(0, len(order), size * CHUNK):
        chunk = order[start : start + size * CHUNK]
        chunk.sort(key=lambda row: len(pieces[row].texts[0].token_ids))
        batches += [chunk[first : first + size] for first in range(0, len(chunk), size)]
    shuffled = torch.randperm(len(batches), generator=generator).tolist()
    return [batches[number] for number in shuffled]
