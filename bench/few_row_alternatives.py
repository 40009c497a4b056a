"""Alternatives to the few-shot heads, for `bench.few_rows --methods`.

Each maps the features of C names `[C, hidden]`, those of n rows `[n, hidden]` and the label numbers
of the rows to a head for features of any length.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from training.few_shot.features import Features
from training.few_shot.heads import LabeledFeatures, LinearHead, regression
from training.few_shot.selection import ONE_LABEL, served_head

Ints = NDArray[np.int64]
Alternative = Callable[[Features, Features, Ints], LinearHead]

_NAME_ROWS: Final = 4.0
_RIDGE: Final = 1.0


def prototypes(rows: LabeledFeatures) -> LinearHead:
    """Compare by angle with the mean of the name, counted as four rows, and the rows."""
    sums = _NAME_ROWS * rows.names
    np.add.at(sums, rows.labels, rows.features)
    return LinearHead(_of_length_1(sums), np.zeros(len(sums)))


def ridge(rows: LabeledFeatures) -> LinearHead:
    """Regress zeros and ones for each label on the rows and the names."""
    features = np.concatenate([rows.features, rows.names])
    labels = np.concatenate([rows.labels, np.arange(len(rows.names))])
    weights = np.concatenate([np.ones(len(rows.labels)), np.full(len(rows.names), _NAME_ROWS)])
    targets = np.eye(len(rows.names))[labels]
    model = Ridge(alpha=_RIDGE, fit_intercept=False).fit(features, targets, sample_weight=weights)
    return LinearHead(model.coef_, np.zeros(len(rows.names)))


def _fitted(
    compute: Callable[[LabeledFeatures], LinearHead],
    names: Features,
    features: Features,
    labels: Ints,
) -> LinearHead:
    """Compute a head from features of length 1; fold the usual length into its weights."""
    length = np.linalg.norm(features if len(features) else names, axis=1).mean()
    rows = LabeledFeatures(_of_length_1(features), labels, _of_length_1(names))
    head = compute(rows)
    return LinearHead(head.weight / length, head.bias)


def _unscaled(names: Features, features: Features, labels: Ints) -> LinearHead:
    """Compute the discriminant from features with the lengths that they have."""
    length = np.linalg.norm(features if len(features) else names, axis=1).mean()
    rows = LabeledFeatures(features / length, labels, _of_length_1(names))
    head = ONE_LABEL.usual.compute(rows)
    return LinearHead(head.weight / length, head.bias)


def _without_names(names: Features, features: Features, labels: Ints) -> LinearHead:
    """Compute the few-shot head with the mean of all names as the name of each label."""
    return served_head(np.tile(names.mean(axis=0), (len(names), 1)), features, labels).head


def _of_length_1(features: Features) -> Features:
    return features / np.linalg.norm(features, axis=1, keepdims=True)


ALTERNATIVES: Final[Mapping[str, Alternative]] = MappingProxyType(
    {
        "prototypes": partial(_fitted, prototypes),
        "ridge": partial(_fitted, ridge),
        "discriminant": partial(_fitted, ONE_LABEL.usual.compute),
        "regression_with_names": partial(_fitted, regression),
        "unscaled_features": _unscaled,
        "without_names": _without_names,
    }
)
