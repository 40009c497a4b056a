"""Chooses and calibrates a head by cross-validation of the few rows."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from training.few_shot.features import Features
from training.few_shot.heads import LabeledFeatures, LinearHead, discriminant, regression
from training.few_shot.heads_by_label import discriminants, log_odds, regressions
from training.few_shot.served_texts import ServedTexts

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


@dataclass(frozen=True, slots=True, eq=False)
class HeadFamily:
    """The ways to compute the head of a problem type, and how likely labels are by its logits.

    `usual` is the candidate for rows that are too few to choose by. `surprise` returns the negative
    log likelihood of labels. `offsets` are added to the scaled logits.
    """

    usual: Candidate
    candidates: tuple[Candidate, ...]
    surprise: Callable[[Features, NDArray[np.int64]], float]
    offsets: Callable[[LabeledFeatures], Features]


def _discriminant(
    compute: Callable[..., LinearHead], name_rows: int, *, log_scale: float
) -> Candidate:
    return Candidate(
        f"discriminant, names as {name_rows} rows",
        partial(compute, name_rows=float(name_rows)),
        log_scale,
    )


def _surprise_of_one(logits: Features, labels: NDArray[np.int64]) -> float:
    scores = log_softmax(logits, axis=1)
    return float(-scores[np.arange(len(labels)), labels].sum())


def _surprise_of_each(logits: Features, flags: NDArray[np.int64]) -> float:
    return float(np.logaddexp(0, np.where(flags, -logits, logits)).sum())


def _no_offsets(rows: LabeledFeatures) -> Features:
    return np.zeros(len(rows.names))


_REGRESSION: Final = "logistic regression, names as rows"
_OF_ONE: Final = [_discriminant(discriminant, number, log_scale=2.6) for number in (1, 2, 4, 8, 16)]
_OF_EACH: Final = [
    _discriminant(discriminants, number, log_scale=2.6) for number in (1, 2, 4, 8, 16)
]
ONE_LABEL: Final = HeadFamily(
    _OF_ONE[2],
    (*_OF_ONE, Candidate(_REGRESSION, regression, 0.7)),
    _surprise_of_one,
    _no_offsets,
)
SEVERAL_LABELS: Final = HeadFamily(
    _OF_EACH[2],
    (*_OF_EACH, Candidate(_REGRESSION, regressions, 0.0)),
    _surprise_of_each,
    log_odds,
)


def served_head(
    names: Features,
    features: Features,
    labels: NDArray[np.int64],
    family: HeadFamily = ONE_LABEL,
    served: ServedTexts | None = None,
) -> ServedHead:
    """Compute the head whose cross-validation makes the labels most likely, and calibrate it.

    A file has no step that gives features the length 1. Therefore the usual length is folded into
    the weights, and rows that are left out are measured with the length that they have.

    Args:
        names: features of the C names, `[C, hidden]`.
        features: features of n rows, `[n, hidden]`.
        labels: label numbers of the rows, `[n]`, or their flags, `[n, C]`.
        family: the heads of the problem type.
        served: the texts of the rows as a server runs them, if these are not those of `features`.
            Rows that are left out are measured by them.
    """
    length = float(np.linalg.norm(features if len(features) else names, axis=1).mean())
    rows = LabeledFeatures(_of_length_1(features), labels, _of_length_1(names))
    texts = served or ServedTexts.of_short_rows(features)
    texts = replace(texts, features=texts.features / length)
    can_choose = rows.counts.mean() >= ROWS_TO_CHOOSE
    calibrated = [
        _calibrated(one, family, rows, texts)
        for one in (family.candidates if can_choose else (family.usual,))
    ]
    _, candidate, scale, left_out = min(calibrated, key=lambda one: one[0])
    head = candidate.compute(rows)
    bias = head.bias * scale + family.offsets(rows)
    scaled = LinearHead(head.weight * (scale / length), bias)
    return ServedHead(scaled, rows, candidate.name, scale, left_out)


def _of_length_1(features: Features) -> Features:
    lengths: Features = np.linalg.norm(features, axis=1, keepdims=True)
    return features / lengths


def folds_of(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Deal the rows of each label out to at most `FOLDS` folds; return the fold of each row.

    With several labels per text, these are the rows of each combination.
    """
    order = np.lexsort(labels.T) if labels.ndim > 1 else np.argsort(labels, kind="stable")
    folds = np.empty(len(labels), np.int64)
    folds[order] = np.arange(len(labels)) % FOLDS
    return folds


def _calibrated(
    candidate: Candidate, family: HeadFamily, rows: LabeledFeatures, texts: ServedTexts
) -> tuple[float, Candidate, float, Features]:
    """Return the loss, the candidate, its scale, and its calibrated logits of left-out rows."""
    folds = folds_of(rows.labels)
    logits, offsets = np.empty((2, len(texts.rows), len(rows.names)))
    for fold in np.unique(folds):
        others, is_left_out = rows.take(folds != fold), folds[texts.rows] == fold
        logits[is_left_out] = candidate.compute(others)(texts.features[is_left_out])
        offsets[is_left_out] = family.offsets(others)

    def left_out(log_scale: float) -> Features:
        return texts.merged(np.exp(log_scale) * logits + offsets)

    def loss(log_scale: float) -> float:
        """Return the surprise at a scale. The usual scale of data sets is the prior.

        A few rows therefore change it little, and none not at all.
        """
        surprise = family.surprise(left_out(log_scale), rows.labels)
        return surprise + ((log_scale - candidate.log_scale) / _SPREAD) ** 2 / 2

    fitted = minimize_scalar(loss, bounds=_BOUNDS, method="bounded", options={"xatol": 1e-6})
    return float(fitted.fun), candidate, float(np.exp(fitted.x)), left_out(fitted.x)
