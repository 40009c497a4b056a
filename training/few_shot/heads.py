"""Linear heads for few labeled features: a discriminant in closed form, and a logistic regression.

Both read the name of a label as if it were a few more rows of it. Features have length 1 here, so
that no row counts more than others.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from training.few_shot.features import Features

COVARIANCE_ROWS: Final = 2.0
"""Weight of the prior covariance, a multiple of the identity: this many times the hidden size."""
_PRIOR_VARIANCE: Final = 0.7
"""Variance of features around the mean of their label, before any row is seen. It is soon
outweighed: the prior counts as one row."""
_INVERSE_REGULARIZATION: Final = 10.0
"""`C` of scikit-learn's logistic regression."""


@dataclass(frozen=True, slots=True, eq=False)
class LabeledFeatures:
    """Features `[n, hidden]` with their labels, and those of the C names of labels `[C, hidden]`.

    `labels` are label numbers `[n]`, or for tasks with several labels per text `[n, C]`: 1 for the
    labels that a row has, and 0 for the others.
    """

    features: Features
    labels: NDArray[np.int64]
    names: Features

    def take(self, rows: NDArray[np.bool_]) -> Self:
        """Return some rows, and all names."""
        return type(self)(self.features[rows], self.labels[rows], self.names)

    @property
    def counts(self) -> NDArray[np.int64]:
        """The number of rows of each label, `[C]`."""
        if self.labels.ndim > 1:
            sums: NDArray[np.int64] = self.labels.sum(axis=0)
            return sums
        return np.bincount(self.labels, minlength=len(self.names))


@dataclass(frozen=True, slots=True, eq=False)
class LinearHead:
    """Weights `[C, hidden]` and biases `[C]`."""

    weight: Features
    bias: Features

    def __call__(self, features: Features) -> Features:
        """Return the logits `[n, C]` of features `[n, hidden]`."""
        return features @ self.weight.T + self.bias


def discriminant(rows: LabeledFeatures, *, name_rows: float) -> LinearHead:
    """Compute a linear discriminant analysis with conjugate priors.

    The mean of a label has its name as prior, which counts as `name_rows` rows. All labels share
    one covariance, with a multiple of the identity as prior (Murphy, Probabilistic Machine
    Learning, 4.2.5). All labels are equally frequent a priori. Logits are divided by the hidden
    size: as densities of that many independent numbers, they would be far too certain.
    """
    hidden = rows.names.shape[1]
    sums = np.zeros_like(rows.names)
    np.add.at(sums, rows.labels, rows.features)
    means = (name_rows * rows.names + sums) / (name_rows + rows.counts)[:, None]
    covariance = covariance_of(rows.features - means[rows.labels])
    weight = np.linalg.solve(covariance * hidden, means.T).T
    return LinearHead(weight, -(weight * means).sum(axis=1) / 2)


def covariance_of(deviations: Features) -> Features:
    """Return the covariance `[hidden, hidden]` of n deviations `[n, hidden]`, with its prior."""
    count, hidden = deviations.shape
    scatter = deviations.T @ deviations
    variance = (np.trace(scatter) + _PRIOR_VARIANCE) / (count + 1) / hidden
    weight_of_prior = COVARIANCE_ROWS * hidden
    covariance: Features = weight_of_prior * variance * np.eye(hidden) + scatter
    covariance /= weight_of_prior + count
    return covariance


def new_regression() -> LogisticRegression:
    """Make the logistic regression of scikit-learn that all heads use."""
    return LogisticRegression(C=_INVERSE_REGULARIZATION, max_iter=1000)


def regression(rows: LabeledFeatures) -> LinearHead:
    """Fit a logistic regression to the rows, and to the name of each label as one more row."""
    features = np.concatenate([rows.features, rows.names])
    labels = np.concatenate([rows.labels, np.arange(len(rows.names))])
    model = new_regression().fit(features, labels)
    if len(rows.names) > 2:
        return LinearHead(model.coef_, model.intercept_)
    # Of two labels, scikit-learn has one logit: that of the second, minus that of the first.
    signs = np.array([-0.5, 0.5])
    return LinearHead(signs[:, None] * model.coef_, signs * model.intercept_)
