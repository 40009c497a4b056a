"""Chooses and calibrates a head by cross-validation of the few rows."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from training.few_shot.features import Features
from training.few_shot.heads import LabeledFeatures, LinearHead, discriminant, regression

FOLDS: Final = 10
ROWS_TO_CHOOSE: Final = 4
"""Mean number of rows per label from which cross-validation chooses among the candidates."""
_SPREAD: Final = 0.5
"""Deviation of the logarithm of a scale, over data sets."""
_BOUNDS: Final = (-3.0, 6.0)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to compute a head. `log_scale` is the usual logarithm of the factor of its logits."""

    name: str
    compute: Callable[[LabeledFeatures], LinearHead]
    log_scale: float


@dataclass(frozen=True, slots=True, eq=False)
class ServedHead:
    """A calibrated head for features of any length.

    `rows` are the features that it was computed from. `scale` is the factor that calibrates its
    logits, already applied. `left_out` are the calibrated logits `[n, C]` of the rows, each by a
    head that did not see it.
    """

    head: LinearHead
    rows: LabeledFeatures
    computed_by: str
    scale: float
    left_out: Features


def _discriminant(name_rows: int) -> Candidate:
    return Candidate(
        f"discriminant, names as {name_rows} rows",
        partial(discriminant, name_rows=float(name_rows)),
        2.6,
    )


USUAL: Final = _discriminant(4)
CANDIDATES: Final = (
    *map(_discriminant, (1, 2)),
    USUAL,
    *map(_discriminant, (8, 16)),
    Candidate("logistic regression, names as rows", regression, 0.7),
)


def served_head(names: Features, features: Features, labels: NDArray[np.int64]) -> ServedHead:
    """Compute the head whose cross-validation makes the labels most likely, and calibrate it.

    A file has no step that gives features the length 1. Therefore the usual length is folded into
    the weights, and rows that are left out are measured with the length that they have.

    Args:
        names: features of the C names, `[C, hidden]`.
        features: features of n rows, `[n, hidden]`.
        labels: label numbers of the rows, `[n]`.
    """
    length = float(np.linalg.norm(features if len(features) else names, axis=1).mean())
    rows = LabeledFeatures(_of_length_1(features), labels, _of_length_1(names))
    can_choose = len(labels) >= ROWS_TO_CHOOSE * len(names)
    calibrated = [
        _calibrated(one, rows, features / length)
        for one in (CANDIDATES if can_choose else (USUAL,))
    ]
    _, candidate, scale, left_out = min(calibrated, key=lambda one: one[0])
    head = candidate.compute(rows)
    served = LinearHead(head.weight * (scale / length), head.bias * scale)
    return ServedHead(served, rows, candidate.name, scale, left_out)


def _of_length_1(features: Features) -> Features:
    lengths: Features = np.linalg.norm(features, axis=1, keepdims=True)
    return features / lengths


def folds_of(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Deal the rows of each label out to at most `FOLDS` folds; return the fold of each row."""
    folds = np.empty(len(labels), np.int64)
    folds[np.argsort(labels, kind="stable")] = np.arange(len(labels)) % FOLDS
    return folds


def _calibrated(
    candidate: Candidate, rows: LabeledFeatures, served: Features
) -> tuple[float, Candidate, float, Features]:
    """Return the loss, the candidate, its scale, and its calibrated logits of left-out rows."""
    folds = folds_of(rows.labels)
    logits = np.empty((len(rows.labels), len(rows.names)))
    for fold in np.unique(folds):
        head = candidate.compute(rows.take(folds != fold))
        logits[folds == fold] = head(served[folds == fold])
    log_scale, loss = _fit_scale(logits, rows.labels, candidate.log_scale)
    scale = float(np.exp(log_scale))
    return loss, candidate, scale, scale * logits


def _fit_scale(logits: Features, labels: NDArray[np.int64], usual: float) -> tuple[float, float]:
    """Return the log scale that makes the labels most likely, and the loss.

    The usual scale of data sets is the prior, so that a few rows change it little, and none not at
    all.
    """

    def loss(log_scale: float) -> float:
        scores = log_softmax(np.exp(log_scale) * logits, axis=1)
        surprise = -scores[np.arange(len(labels)), labels].sum()
        return float(surprise + ((log_scale - usual) / _SPREAD) ** 2 / 2)

    fitted = minimize_scalar(loss, bounds=_BOUNDS, method="bounded", options={"xatol": 1e-6})
    return float(fitted.x), float(fitted.fun)
