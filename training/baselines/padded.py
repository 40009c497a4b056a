"""Padded batches of transformers' own model classes, for comparison with packed ones."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import torch
import transformers
from torch import Tensor, nn
from transformers import AutoTokenizer

from prefixes import PrefixSpec
from prefixes.atomic import atomic_folder
from prefixes.backbone import Backbone, EncodedInput, EncodedText
from prefixes.spec import TaskType
from training.tasks import Outputs

MODEL_CLASSES: Final[dict[TaskType, str]] = {
    "sequence_classification": "AutoModelForSequenceClassification",
    "token_classification": "AutoModelForTokenClassification",
    "question_answering": "AutoModelForQuestionAnswering",
    "multiple_choice": "AutoModelForMultipleChoice",
}
_INPUTS_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True, eq=False)
class PaddedModel:
    """A model of transformers with a head for one task, run on padded batches.

    Its weights are float32. bfloat16 is used through torch's autocast.
    """

    spec: PrefixSpec
    model: Any
    place: str
    takes_token_types: bool
    dtype: torch.dtype

    @classmethod
    def load(cls, spec: PrefixSpec, backbone: Backbone) -> Self:
        """Load a copy of the backbone's weights, with a new head from torch's global generator."""
        settings: dict[str, Any] = {}
        if spec.labels:
            settings["id2label"] = dict(enumerate(spec.labels))
            settings["label2id"] = {label: number for number, label in enumerate(spec.labels)}
        elif spec.num_labels:
            settings["num_labels"] = spec.num_labels
        if spec.problem_type is not None:
            settings["problem_type"] = spec.problem_type
        model_class = getattr(transformers, MODEL_CLASSES[spec.task_type])
        place = backbone.model.name_or_path
        model = model_class.from_pretrained(
            place, dtype=torch.float32, trust_remote_code=False, **settings
        )
        takes_token_types = "token_type_ids" in inspect.signature(model.forward).parameters
        return cls(spec, model.to(backbone.device), place, takes_token_types, backbone.dtype)

    def outputs(self, inputs: Sequence[EncodedInput]) -> list[list[Tensor]]:
        """Run inputs padded to the longest text. Return the outputs of the texts of each input."""
        texts = [text for encoded in inputs for text in encoded]
        padded = self._padded(texts)
        if self.spec.task_type == "multiple_choice":
            padded = {name: x[:, None] for name, x in padded.items()}  # one choice a row
        with self._precision():
            output = self.model(**padded)
        rows = (
            torch.stack((output.start_logits, output.end_logits), -1)
            if self.spec.task_type == "question_answering"
            else output.logits
        ).float()
        lengths = [len(text.token_ids) for text in texts]
        is_per_token = self.spec.head.pooling == "every_token"
        flat = iter(
            [row[:n] if is_per_token else row for row, n in zip(rows, lengths, strict=True)]
        )
        return [[next(flat) for _ in encoded] for encoded in inputs]

    @torch.inference_mode()
    def outputs_of(self, inputs: Sequence[EncodedInput]) -> list[Outputs]:
        """Return the outputs of n inputs in order, without dropout."""
        self.model.eval()
        order = sorted(range(len(inputs)), key=lambda row: len(inputs[row][0].token_ids))
        outputs: dict[int, Outputs] = {}
        for start in range(0, len(order), _INPUTS_AT_ONCE):
            rows = order[start : start + _INPUTS_AT_ONCE]
            found = self.outputs([inputs[row] for row in rows])
            outputs |= {
                row: [np.asarray(x.cpu().numpy()) for x in values]
                for row, values in zip(rows, found, strict=True)
            }
        return [outputs[row] for row in range(len(inputs))]

    @torch.no_grad()
    def rescale(self, center: float, spread: float) -> None:
        """Rescale the outputs of a regression, which was trained with mean 0 and deviation 1."""
        layers = [x for x in self.model.modules() if isinstance(x, nn.Linear)]
        output = [x for x in layers if x.out_features == self.spec.num_labels][-1]
        output.weight.mul_(spread)
        output.bias.mul_(spread).add_(center)

    def save(self, folder: Path) -> None:
        """Save the model with its tokenizer in the format of transformers."""
        tokenizer = AutoTokenizer.from_pretrained(self.place, trust_remote_code=False)
        with atomic_folder(folder) as new:
            self.model.save_pretrained(new)
            tokenizer.save_pretrained(new)

    def _precision(self) -> torch.autocast:
        is_lower = self.dtype != torch.float32
        return torch.autocast(self.model.device.type, self.dtype, enabled=is_lower)

    def _padded(self, texts: Sequence[EncodedText]) -> dict[str, Tensor]:
        longest = max(len(text.token_ids) for text in texts)

        def rows(values: Sequence[Sequence[int]], fill: int) -> Tensor:
            padded = [[*row, *[fill] * (longest - len(row))] for row in values]
            return torch.tensor(padded, device=self.model.device)

        types = {"token_type_ids": rows([x.token_type_ids for x in texts], 0)}
        return {
            "input_ids": rows([x.token_ids for x in texts], self.model.config.pad_token_id or 0),
            "attention_mask": rows([[1] * len(x.token_ids) for x in texts], 0),
            **(types if self.takes_token_types else {}),
        }


def batches_by_length(
    lengths: Sequence[int], size: int, generator: torch.Generator, *, chunk: int = 50
) -> list[list[int]]:
    """Shuffle, then batch texts of similar length within `chunk` batches, to pad little."""
    order = torch.randperm(len(lengths), generator=generator).tolist()
    batches = []
    for start in range(0, len(order), size * chunk):
        part = sorted(order[start : start + size * chunk], key=lengths.__getitem__)
        batches += [part[first : first + size] for first in range(0, len(part), size)]
    shuffled = torch.randperm(len(batches), generator=generator).tolist()
    return [batches[number] for number in shuffled]
