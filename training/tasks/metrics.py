"""Metrics of classification and regression."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, assert_never

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    multilabel_confusion_matrix,
    precision_recall_fscore_support,
)

from prefixes import PrefixSpec
from prefixes.answers import (
    DEFAULT_THRESHOLD,
    RuleSet,
    decide,
    is_within,
    sigmoid,
    softmax,
    split_outputs,
)
from prefixes.spec import ProblemType

Floats = NDArray[np.floating[Any]]

CALIBRATION_ERROR: Final = "expected_calibration_error"

_BINS: Final = 15


@dataclass(frozen=True, slots=True)
class LabelScore:
    """Metrics of one label. `support` is the number of rows or entities with it."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """All metrics of one evaluation.

    For a single label, `confusion` has `[true label, given label, rows]` for every pair of label
    numbers that occurs. For several labels, it has
    `[[true negatives, false positives], [false negatives, true positives]]` of each label.
    """

    metrics: dict[str, float]
    per_label: tuple[LabelScore, ...] = ()
    confusion: list[Any] | None = None

    @property
    def cells(self) -> NDArray[np.int64] | None:
        """The confusion of a single label, `[cells, 3]`; None for all other tasks."""
        if self.confusion is None or np.ndim(self.confusion) != 2:
            return None
        return np.array(self.confusion)

    @property
    def only_answer(self) -> str | None:
        """The label that every row was given, if some rows have another label."""
        cells = self.cells
        if cells is None:
            return None
        true, given = (set(cells[:, side].tolist()) for side in (0, 1))
        return self.per_label[min(given)].label if len(given) == 1 and true != given else None


def measure(
    problem_type: ProblemType,
    labels: Sequence[str],
    logits: Floats,
    targets: NDArray[Any],
    *,
    thresholds: Floats | None = None,
) -> Measurement:
    """Compare logits `[n, C]` with targets: `[n]` label numbers of a single label, else `[n, C]`.

    With several labels, those whose probability reaches its threshold are predicted; the default
    threshold is one half. `combined` is the mean used by GLUE and SuperGLUE: of both correlations,
    or of accuracy and F1. That F1 is of the second of two labels, else the mean over all labels.
    """
    match problem_type:
        case "regression":
            return Measurement(_regression(logits[:, 0], targets[:, 0]))
        case "single_label_classification":
            return _single_label(labels, logits, targets)
        case "multi_label_classification":
            return _multi_label(labels, logits, targets.astype(bool), thresholds)
        case _:
            assert_never(problem_type)


def answered_metrics(
    spec: PrefixSpec, rules: RuleSet, outputs: Sequence[Floats], targets: NDArray[np.int64]
) -> dict[str, float]:
    """Return the share of rows with an answer under the rules of a task, and their accuracy.

    A parent of the right label is a right answer. The other metrics are about the best label of
    every row, whether or not it is withheld.

    Args:
        spec: description of a single-label task.
        rules: its rules.
        outputs: the outputs of each row, which its projected features may follow.
        targets: the number of each row's label.
    """
    halves = (split_outputs(values, len(values) - spec.num_labels) for values in outputs)
    answers = [decide(spec, logits, rules, projected).label for logits, projected in halves]
    answered = [label is not None for label in answers]
    right = [
        label is not None and is_within(spec, spec.labels[target], label)
        for label, target in zip(answers, targets.tolist(), strict=True)
    ]
    return {
        "answered": float(np.mean(answered)),
        "answered_accuracy": sum(right) / max(1, sum(answered)),
    }


def calibration_error(confidences: Floats, is_right: NDArray[np.bool_]) -> float:
    """Return the expected calibration error of Guo et al. (arXiv:1706.04599).

    It is the mean difference between confidence `[n]` and accuracy within 15 equal intervals of
    confidence, weighted by their number of answers.
    """
    places = np.minimum((confidences * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(places, weights=is_right - confidences, minlength=_BINS)
    return float(np.abs(gaps).sum() / len(confidences))


def _single_label(labels: Sequence[str], logits: Floats, targets: NDArray[np.int64]) -> Measurement:
    predicted = logits.argmax(axis=1)
    confidences = softmax(logits).max(axis=1)
    per_label = _per_label(labels, targets, predicted)
    accuracy, macro_f1 = float(accuracy_score(targets, predicted)), _f1(targets, predicted, "macro")
    # The second of two labels is the positive one, as in GLUE and SuperGLUE.
    f1 = {"f1": per_label[1].f1} if len(labels) == 2 else {}
    return Measurement(
        {
            "accuracy": accuracy,
            "macro_f1": macro_f1,
            "matthews": _matthews(targets, predicted),
            **f1,
            "combined": (accuracy + f1.get("f1", macro_f1)) / 2,
            CALIBRATION_ERROR: calibration_error(confidences, predicted == targets),
        },
        per_label,
        _confusion(targets, predicted),
    )


def _confusion(targets: NDArray[np.int64], predicted: NDArray[np.int64]) -> list[list[int]]:
    pairs, counts = np.unique(np.stack([targets, predicted]), axis=1, return_counts=True)
    cells: list[list[int]] = np.vstack([pairs, counts]).T.tolist()
    return cells


def _matthews(targets: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    """Return the R_K correlation (Gorodkin) of true and given labels; 0 if one side is constant.

    It uses the counts of labels, because the matrix of all pairs of many labels would not fit in
    memory.
    """
    size = int(max(targets.max(), predicted.max())) + 1
    true, given = (np.bincount(side, minlength=size).astype(float) for side in (targets, predicted))
    n = float(len(targets))
    covariance = n * float((targets == predicted).sum()) - float(true @ given)
    spread = (n * n - float(true @ true)) * (n * n - float(given @ given))
    return covariance / math.sqrt(spread) if spread else 0.0


def _multi_label(
    labels: Sequence[str],
    logits: Floats,
    targets: NDArray[np.bool_],
    thresholds: Floats | None,
) -> Measurement:
    probabilities = sigmoid(logits)
    predicted = probabilities >= (DEFAULT_THRESHOLD if thresholds is None else thresholds)
    confidences = np.maximum(probabilities, 1 - probabilities).ravel()
    is_right = ((probabilities > 0.5) == targets).ravel()
    return Measurement(
        {
            "micro_f1": _f1(targets, predicted, "micro"),
            "macro_f1": _f1(targets, predicted, "macro"),
            "accuracy": float((predicted == targets).all(axis=1).mean()),
            CALIBRATION_ERROR: calibration_error(confidences, is_right),
        },
        _per_label(labels, targets, predicted),
        multilabel_confusion_matrix(targets, predicted).tolist(),
    )


def _f1(targets: NDArray[Any], predicted: NDArray[Any], average: str) -> float:
    return float(f1_score(targets, predicted, average=average, zero_division=0))


def _per_label(
    labels: Sequence[str], targets: NDArray[Any], predicted: NDArray[Any]
) -> tuple[LabelScore, ...]:
    columns = precision_recall_fscore_support(
        targets, predicted, labels=list(range(len(labels))), zero_division=0
    )
    return tuple(
        LabelScore(label, float(precision), float(recall), float(f1), int(support))
        for label, precision, recall, f1, support in zip(labels, *columns, strict=True)
    )


def _regression(predicted: Floats, targets: Floats) -> dict[str, float]:
    pearson = _correlation(predicted, targets)
    spearman = _correlation(_ranks(predicted), _ranks(targets))
    return {
        "pearson": pearson,
        "spearman": spearman,
        "combined": (pearson + spearman) / 2,
        "negative_mse": -float(np.mean((predicted - targets) ** 2)),
    }


def _correlation(left: Floats, right: Floats) -> float:
    """Return Pearson's correlation; 0 if one side is constant, where it is undefined."""
    if np.ptp(left) == 0 or np.ptp(right) == 0:
        return 0.0
    return float(np.corrcoef(left, right)[0, 1])


def _ranks(values: Floats) -> Floats:
    """Return ranks from 1. Equal values share the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = (last - (counts - 1) / 2)[place]
    return ranks
