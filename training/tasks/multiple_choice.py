"""Multiple choice: which of the choices of a row is right for its text."""

from collections.abc import Container, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from prefixes import InputTemplate, PrefixSpec
from prefixes.answers import softmax
from prefixes.backbone import EncodedInput
from prefixes.template import CHOICES, MAX_CHOICES
from training.examples import Examples, Input, Layout
from training.files.rows import Row, RowFile
from training.settings.config import TrainConfig
from training.tasks.cells import read_list, text_objection
from training.tasks.definition import Outputs, Piece, Problems, TaskDefinition
from training.tasks.labels import known_names, read_label
from training.tasks.losses import PLAIN, LossSettings, choice_losses
from training.tasks.metrics import CALIBRATION_ERROR, Measurement, calibration_error
from training.tasks.phrases import from_columns, texts

_CHOICE: Final = "{choice}"


class MultipleChoice(TaskDefinition[int]):
    """Texts with `choices`. The `label` is the number of the right choice, from 0.

    Every choice runs as a separate text and gets one score.
    """

    def template(self, config: TrainConfig, present: Container[str]) -> InputTemplate:
        """Return the given template, else the text with each choice as its pair."""
        if config.template is not None:
            return InputTemplate(text=config.template, text_pair=config.pair_template)
        is_named = config.text_column is not None or "text" in present
        field = "text_a" if "text_a" in present and not is_named else "text"
        return InputTemplate(text=f"{{{field}}}", text_pair=_CHOICE)

    def read_input(self, layout: Layout, row: Row, problems: Problems) -> Input:
        """Read a row's texts and its choices."""
        fields = super().read_input(layout, row, problems)
        choices = read_list(row, CHOICES, problems)
        if choices and not 2 <= len(choices) <= MAX_CHOICES:
            problems.append(
                row.problem(f"'choices': expected 2 to {MAX_CHOICES}, found {len(choices)}")
            )
        problems += [
            row.problem(f"'choices': expected texts, found {objection}")
            for choice in choices
            if (objection := text_objection(choice)) is not None
        ]
        return {**fields, CHOICES: choices}

    def read_truth(self, layout: Layout, row: Row, fields: Input, problems: Problems) -> int:
        """Read the number of the right choice."""
        column = layout.label or "label"
        numbers = tuple(str(number) for number in range(len(fields[CHOICES])))
        names = known_names(read_label(row, column, problems), numbers)
        if names and numbers and names[0] not in numbers:
            problems.append(
                row.problem(
                    f"{column!r}: expected the number of a choice, 0 to {numbers[-1]}, "
                    f"found {names[0]:.80}"
                )
            )
        return int(names[0]) if names and names[0] in numbers else 0

    def column_roles(self, layout: Layout, file: RowFile, truths: Sequence[int]) -> list[str]:
        return [
            *texts(layout),
            f"choices {from_columns([CHOICES])}",
            f"number of the right choice, from 0, {from_columns([layout.label or 'label'])}",
        ]

    def stratum(self, truth: int) -> tuple[Any, ...]:
        return (truth,)

    def pieces(self, spec: PrefixSpec, truth: int, encoded: EncodedInput) -> list[Piece]:
        return [Piece(encoded, torch.tensor(truth))]

    def loss(
        self,
        spec: PrefixSpec,
        outputs: Sequence[Sequence[Tensor]],
        targets: Sequence[Tensor],
        settings: LossSettings = PLAIN,
    ) -> Tensor:
        """Sum the losses of the choice in each row."""
        scores = [torch.cat(list(choices)) for choices in outputs]
        return choice_losses(scores, torch.stack(list(targets)).to(scores[0].device)).sum()

    def measure(
        self,
        spec: PrefixSpec,
        examples: Examples[int],
        encoded: Sequence[EncodedInput],
        outputs: Sequence[Outputs],
    ) -> Measurement:
        """Count the rows whose right choice has the highest score."""
        scores = [softmax(np.concatenate(choices)) for choices in outputs]
        right = [one.argmax() == truth for one, truth in zip(scores, examples.truths, strict=True)]
        error = calibration_error(np.array([one.max() for one in scores]), np.array(right))
        return Measurement({"accuracy": float(np.mean(right)), CALIBRATION_ERROR: error})

    def has_probabilities(self, spec: PrefixSpec) -> bool:
        return True

    def answer(
        self, spec: PrefixSpec, fields: Input, encoded: EncodedInput, outputs: Outputs
    ) -> dict[str, Any]:
        """Return `label`, text and `score` of the best choice, and the `scores` of all."""
        scores = softmax(np.concatenate(outputs)).tolist()
        best = int(np.argmax(scores))
        return {
            "label": best,
            "chosen": fields[CHOICES][best],
            "score": scores[best],
            "scores": scores,
        }
