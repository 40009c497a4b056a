"""Sequence classification: a label, several labels or a number for each text or pair of texts."""

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from prefixes import InputTemplate, PrefixSpec
from prefixes.answers import decide, is_within, rules_of, sigmoid, softmax, split_outputs
from prefixes.backbone import EncodedInput
from prefixes.spec import Decisions
from training.examples import Examples, Input, Layout, TaskData
from training.files.rows import Row, RowFile
from training.settings.config import TrainConfig
from training.tasks.answer_scores import score_candidates
from training.tasks.cells import read_number
from training.tasks.definition import Outputs, Piece, Problems, Scale, TaskDefinition
from training.tasks.hierarchies import hierarchy_over, level_metrics
from training.tasks.labels import (
    cell_form,
    inferred,
    known_names,
    read_flags,
    read_label,
    read_labels,
    refuse_unknown,
)
from training.tasks.losses import PLAIN, LossSettings, row_losses
from training.tasks.metrics import Measurement, answered_metrics, measure
from training.tasks.phrases import counted, from_columns, texts

PAIR: Final = InputTemplate(text="{text_a}", text_pair="{text_b}")
REGRESSION_LABEL: Final = "score"

Target = int | tuple[float, ...]
"""The number of the label; or a one or zero for each of several labels; or a single number."""


class SequenceClassification(TaskDefinition[Target]):
    """Texts, or pairs of texts, and the `label` of each."""

    labels_are_of_texts = True

    def template(self, config: TrainConfig, present: Container[str]) -> InputTemplate:
        """Return the given template, else a pair if two columns are named or present."""
        if config.template is not None:
            return InputTemplate(text=config.template, text_pair=config.pair_template)
        is_named = config.text_column is not None or "text" in present
        has_pair = "text_a" in present and "text_b" in present
        return PAIR if config.pair_column or (has_pair and not is_named) else InputTemplate()

    def labels(self, layout: Layout, rows: Iterable[Row]) -> tuple[str, ...]:
        """Return the given labels, else those that occur, in order."""
        if layout.problem_type == "regression":
            return (REGRESSION_LABEL,)
        given = layout.labels or layout.label_columns
        return given or inferred(name for row in rows for name in _names(layout, row, []))

    def read_truth(self, layout: Layout, row: Row, fields: Input, problems: Problems) -> Target:
        """Read a row's label, labels or number."""
        if layout.problem_type == "regression":
            return (read_number(row, layout.label or "label", problems),)
        names = known_names(_names(layout, row, problems), layout.labels)
        refuse_unknown(row, names, layout.labels, problems)
        if layout.problem_type == "multi_label_classification":
            return tuple(float(label in names) for label in layout.labels)
        is_known = bool(names) and names[0] in layout.labels
        return layout.labels.index(names[0]) if is_known else 0

    def column_roles(self, layout: Layout, file: RowFile, truths: Sequence[Target]) -> list[str]:
        if layout.problem_type == "regression":
            return [*texts(layout), _number_role(layout, truths)]
        counts = self.label_counts(layout.labels, truths) or {}
        names = counted([label for label, count in counts.items() if count], "label")
        return [*texts(layout), f"{_label_role(layout, file.rows)} ({names})"]

    def objection(self, truths: Sequence[Target]) -> str | None:
        """Reject rows that all have the same label."""
        if all(truth == truths[0] for truth in truths):
            return "all rows have the same label: expected two or more"
        return None

    def stratum(self, truth: Target) -> tuple[Any, ...]:
        return (truth,) if isinstance(truth, int) else truth[::-1]

    def labels_in(self, labels: Sequence[str], truth: Target) -> list[str]:
        if isinstance(truth, int):
            return [labels[truth]]
        return [label for label, one in zip(labels, truth, strict=True) if one == 1]

    def label_counts(
        self, labels: Sequence[str], truths: Sequence[Target]
    ) -> Mapping[str, int] | None:
        """Count the rows of each label. A regression has no labels."""
        if labels == (REGRESSION_LABEL,):
            return None
        counts = Counter(
            number
            for truth in truths
            for number in ([truth] if isinstance(truth, int) else np.flatnonzero(truth).tolist())
        )
        return {label: counts[number] for number, label in enumerate(labels)}

    def class_weights(
        self, labels: Sequence[str], truths: Sequence[Target]
    ) -> tuple[float, ...] | None:
        """Weight labels so that all count alike. Labels that occur never or always have weight 1.

        The weight of a single label is n rows / (k labels * rows of this label), as `balanced` in
        scikit-learn. With several labels, it is the ratio of rows without to rows with the label.
        """
        counts = self.label_counts(labels, truths)
        if counts is None:
            return None
        n, k = len(truths), sum(count > 0 for count in counts.values())
        if isinstance(truths[0], int):
            return tuple(n / (k * count) if count else 1.0 for count in counts.values())
        return tuple((n - c) / c if 0 < c < n else 1.0 for c in counts.values())

    def description(self, config: TrainConfig, data: TaskData) -> dict[str, Any]:
        described = {"problem_type": config.problem_type, "labels": data.labels}
        if config.hierarchy is None:
            return described
        rules, tree = config.decisions or Decisions(), hierarchy_over(config, data.labels)
        return {**described, "decisions": rules.model_copy(update={"hierarchy": tree})}

    def scale(self, spec: PrefixSpec, truths: Sequence[Target]) -> Scale:
        """Return mean and deviation of a regression: its head learns mean 0 and deviation 1."""
        if spec.problem_type != "regression":
            return Scale()
        numbers = np.array(truths, dtype=np.float64)
        # All rows of a sample or of a split may have the same number.
        return Scale(float(numbers.mean()), float(numbers.std()) or 1.0)

    def pieces(self, spec: PrefixSpec, truth: Target, encoded: EncodedInput) -> list[Piece]:
        # float64 until it is standardized: float32 would lose digits of numbers such as 1.7e9.
        dtype = torch.float64 if spec.problem_type == "regression" else None
        return [Piece(encoded, torch.tensor(truth, dtype=dtype))]

    def loss(
        self,
        spec: PrefixSpec,
        outputs: Sequence[Sequence[Tensor]],
        targets: Sequence[Tensor],
        settings: LossSettings = PLAIN,
    ) -> Tensor:
        """Add up the losses of single texts."""
        assert spec.problem_type is not None
        logits = torch.stack([values for (values,) in outputs])
        return row_losses(
            spec.problem_type,
            logits,
            torch.stack(list(targets)).to(logits.device),
            settings,
        ).sum()

    def measure(
        self,
        spec: PrefixSpec,
        examples: Examples[Target],
        encoded: Sequence[EncodedInput],
        outputs: Sequence[Outputs],
    ) -> Measurement:
        """Measure labels or numbers, and the candidate answers to queries if there are any."""
        assert spec.problem_type is not None
        logits = np.stack([values[: spec.num_labels] for (values,) in outputs])
        rules = rules_of(spec)
        measured = measure(
            spec.problem_type,
            spec.labels,
            logits,
            np.array(examples.truths),
            thresholds=None if rules is None else rules.floors,
        )
        if rules is not None and rules.tree is not None:
            by_level = level_metrics(spec, rules.tree, logits, np.array(examples.truths))
            measured = replace(measured, metrics={**measured.metrics, **by_level})
        if rules is not None and spec.problem_type == "single_label_classification":
            values = [values for (values,) in outputs]
            answered = answered_metrics(spec, rules, values, np.array(examples.truths))
            measured = replace(measured, metrics={**measured.metrics, **answered})
        if not examples.candidates:
            return measured
        by_query = score_candidates(examples.candidates, logits[:, 1].tolist())
        return replace(measured, metrics={**measured.metrics, **by_query})

    def has_probabilities(self, spec: PrefixSpec) -> bool:
        """Return False for a regression."""
        return spec.problem_type != "regression"

    def answer(
        self, spec: PrefixSpec, fields: Input, encoded: EncodedInput, outputs: Outputs
    ) -> dict[str, Any]:
        """Return `label`, `score` and all `scores`, or `labels` and `scores`, or a `score`.

        Without an answer, `label` is None, and `reason` says why.
        """
        (values,) = outputs
        logits, projected = split_outputs(values, len(values) - spec.num_labels)
        if spec.problem_type == "regression":
            return {"score": float(logits[0])}
        activation = sigmoid if spec.problem_type == "multi_label_classification" else softmax
        scores = dict(zip(spec.labels, activation(logits).tolist(), strict=True))
        decision = decide(spec, logits, rules_of(spec), projected)
        if decision.labels is not None:
            return {"labels": list(decision.labels), "scores": scores}
        if decision.label is None:
            return {"label": None, "abstained": True, "reason": decision.reason, "scores": scores}
        if decision.path is None:
            return {"label": decision.label, "score": scores[decision.label], "scores": scores}
        within = [name for name in spec.labels if is_within(spec, name, decision.label)]
        return {
            "label": decision.label,
            "path": list(decision.path),
            "score": sum(scores[name] for name in within),
            "scores": scores,
        }


def _names(layout: Layout, row: Row, problems: Problems) -> list[str]:
    if layout.label_columns:
        return read_flags(row, layout.label_columns, problems)
    column = layout.label or "label"
    if layout.problem_type == "multi_label_classification":
        return read_labels(row, column, layout.separator, layout.labels, problems)
    return read_label(row, column, problems)


def _number_role(layout: Layout, truths: Sequence[Any]) -> str:
    numbers = [number for (number,) in truths]
    column = from_columns([layout.label or "label"])
    return f"a number per row {column} (regression, {min(numbers):g} to {max(numbers):g})"


def _label_role(layout: Layout, rows: Sequence[Row]) -> str:
    """Describe the label columns, and how several labels are separated."""
    name = layout.label or "label"
    if layout.problem_type != "multi_label_classification":
        return f"one label per row {from_columns([name])}"
    if layout.label_columns:
        return f"several labels per row, a zero or one each {from_columns(layout.label_columns)}"
    forms = dict.fromkeys(
        cell_form(row.columns[name], layout.separator, layout.labels) for row in rows
    )
    return f"several labels per row {from_columns([name])}, {' or '.join(forms)}"
