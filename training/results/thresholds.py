"""Thresholds: the probability that each label must reach, fitted on the validation rows.

The threshold of a label separates the rows that have the label from all others (one-vs-rest). It
lies halfway between the scores of two rows, so that rounding on another machine changes no answer.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from prefixes import Prefix, PrefixSpec
from prefixes.answers import DEFAULT_THRESHOLD, decide, rules_of, sigmoid, softmax
from prefixes.spec import Decisions
from training.examples import Examples
from training.settings.threshold_target import ThresholdTarget
from training.tasks import Outputs

FEW_ROWS: Final = 20
"""Rows of a label below which a threshold may not hold for other texts: with 20 of them, a measured
recall of 0.95 has a standard error of 0.05."""

_MAX_LISTED: Final = 10


@dataclass(frozen=True, slots=True)
class FittedThreshold:
    """The threshold of one label, and what the answers with all thresholds reach for it.

    `rows` is the number of validation rows with the label. `is_reached` says whether these figures
    meet the target.
    """

    label: str
    threshold: float
    precision: float
    recall: float
    rows: int
    is_reached: bool


@dataclass(frozen=True, slots=True)
class FittedThresholds:
    """The thresholds of a task. `answered` is the share of validation rows with an answer."""

    target: str
    labels: tuple[FittedThreshold, ...]
    answered: float

    @property
    def warnings(self) -> list[str]:
        """Describe labels without rows, with few rows, and those that miss the target."""
        absent = [one.label for one in self.labels if not one.rows]
        few = [f"{one.label} ({one.rows})" for one in self.labels if 0 < one.rows < FEW_ROWS]
        missed = [
            f"{one.label} (precision {one.precision:.3f}, recall {one.recall:.3f})"
            for one in self.labels
            if one.rows and not one.is_reached
        ]
        found = []
        if absent:
            found.append(
                f"No validation row has the label {_listed(absent)}: its threshold is the default. "
                "Add such rows."
            )
        if few:
            found.append(
                f"Fewer than {FEW_ROWS} validation rows have the label {_listed(few)}: its "
                "threshold may not hold for other texts. Add validation rows."
            )
        if missed:
            found.append(
                f"{self.target} is not reached for {_listed(missed)}: its threshold is the one "
                "that comes closest. Add training rows, or lower the target."
            )
        return found


def fit_thresholds(
    prefix: Prefix, examples: Examples[Any], outputs: Sequence[Outputs], target: ThresholdTarget
) -> tuple[Prefix, FittedThresholds]:
    """Add thresholds to a calibrated classification, and measure its answers with them.

    Args:
        prefix: a classification of texts.
        examples: rows that it has not learned from.
        outputs: its outputs for these rows.
        target: what the thresholds are fitted for.
    """
    logits = np.stack([values for (values,) in outputs])
    is_multi = prefix.spec.problem_type == "multi_label_classification"
    scores = sigmoid(logits) if is_multi else softmax(logits)
    truths = _truths(examples.truths, scores.shape)
    default = DEFAULT_THRESHOLD if is_multi else 0.0
    thresholds = tuple(
        threshold_of(scores[:, place], truths[:, place], target)
        if truths[:, place].any()
        else default
        for place in range(scores.shape[1])
    )
    spec = _with_thresholds(prefix.spec, thresholds)
    fitted = _measured(spec, logits, truths, thresholds, target)
    return dataclasses.replace(prefix, spec=spec), fitted


def threshold_of(
    scores: NDArray[np.float64], truths: NDArray[np.bool_], target: ThresholdTarget
) -> float:
    """Fit the threshold of one label.

    With `f1`, it has the highest F1. With a minimum of precision, it is the lowest threshold that
    meets the minimum, so that the recall is highest; with a minimum of recall, the highest one. If
    no threshold meets a minimum, the one that comes closest to it is returned.

    Args:
        scores: probabilities `[n]` of the label.
        truths: `[n]`, which rows have it.
        target: the target.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(truths[order])
    # Rows with equal scores are answered together: a cut is possible after the last of them only.
    ends = np.flatnonzero(np.append(ranked[:-1] > ranked[1:], True))
    precision = hits[ends] / (ends + 1)
    recall = hits[ends] / max(1, int(hits[-1]))
    match target.measure:
        case "f1":
            total = precision + recall
            merit = 2 * precision * recall / np.where(total > 0, total, 1)
            cut = int(merit.argmax())
        case "precision":
            meets = np.flatnonzero(precision >= target.minimum)
            # The last of equally precise cuts has the highest recall.
            closest = len(ends) - 1 - int(precision[::-1].argmax())
            cut = int(meets[-1]) if meets.size else closest
        case "recall":
            cut = int(np.argmax(recall >= target.minimum))
    lower = ranked[ends[cut] + 1] if ends[cut] + 1 < len(ranked) else 0.0
    return float((ranked[ends[cut]] + lower) / 2)


def _truths(truths: Sequence[Any], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which rows have which labels, `[n, C]`."""
    values = np.array(truths)
    if values.ndim == 2:
        return values.astype(bool)
    found = np.zeros(shape, dtype=bool)
    found[np.arange(len(values)), values] = True
    return found


def _with_thresholds(spec: PrefixSpec, thresholds: tuple[float, ...]) -> PrefixSpec:
    if spec.problem_type == "multi_label_classification":
        return spec.model_copy(update={"thresholds": thresholds})
    rules = spec.decisions or Decisions()
    decisions = rules.model_copy(update={"thresholds": thresholds})
    return spec.model_copy(update={"decisions": decisions})


def _measured(
    spec: PrefixSpec,
    logits: NDArray[np.float32],
    truths: NDArray[np.bool_],
    thresholds: Sequence[float],
    target: ThresholdTarget,
) -> FittedThresholds:
    """Measure the answers that a server gives with all thresholds together."""
    answers = _answers(spec, logits)
    hits, rows = (answers & truths).sum(axis=0), truths.sum(axis=0)
    precision = hits / np.maximum(answers.sum(axis=0), 1)
    recall = hits / np.maximum(rows, 1)
    bounded = {"f1": np.ones_like(recall), "precision": precision, "recall": recall}
    reached = bounded[target.measure] >= target.minimum
    columns = (precision.tolist(), recall.tolist(), rows.tolist(), reached.tolist())
    labels = tuple(map(FittedThreshold, spec.labels, thresholds, *columns))
    return FittedThresholds(str(target), labels, float(answers.any(axis=1).mean()))


def _answers(spec: PrefixSpec, logits: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which labels `[n, C]` are answers to which rows."""
    rules = rules_of(spec)
    places = {label: place for place, label in enumerate(spec.labels)}
    answers = np.zeros(logits.shape, dtype=bool)
    for row, values in enumerate(logits):
        decision = decide(spec, values, rules)
        names = decision.labels if decision.labels is not None else (decision.label,)
        answers[row, [places[name] for name in names if name in places]] = True
    return answers


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _MAX_LISTED
    return ", ".join(names[:_MAX_LISTED]) + (f" and {rest} more" if rest > 0 else "")
