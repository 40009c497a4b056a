"""Linear heads for several labels per text: each label has its rows, and all others.

They read the names of labels as the heads of a single label do: as if a name were a few more rows.
"""

import numpy as np

from training.few_shot.features import Features
from training.few_shot.heads import LabeledFeatures, LinearHead, covariance_of, new_regression


def discriminants(rows: LabeledFeatures, *, name_rows: float) -> LinearHead:
    """Compute a linear discriminant of two classes for each label, with conjugate priors.

    The mean of the rows with a label has its name as prior, and that of the other rows the mean of
    the other names. Both count as `name_rows` rows. All labels share one covariance. Both classes
    are equally frequent here: `log_odds` are added after the scale is known. As in `discriminant`,
    logits are divided by the hidden size.
    """
    hidden, num_labels = rows.names.shape[1], len(rows.names)
    other_names = (rows.names.sum(axis=0) - rows.names) / (num_labels - 1)
    sums = rows.labels.T @ rows.features
    other_sums = rows.features.sum(axis=0) - sums
    counts = rows.counts[:, None]
    means = (name_rows * rows.names + sums) / (name_rows + counts)
    other_means = (name_rows * other_names + other_sums) / (name_rows + len(rows.features) - counts)
    covariance = covariance_of(rows.features - _expected(rows, means, other_means))
    weight = np.linalg.solve(covariance * hidden, (means - other_means).T).T
    return LinearHead(weight, -(weight * (means + other_means)).sum(axis=1) / 2)


def _expected(rows: LabeledFeatures, means: Features, other_means: Features) -> Features:
    """Return the mean of the means of each row's labels; without any, of those of other rows."""
    numbers = rows.labels.sum(axis=1, keepdims=True)
    with_labels = rows.labels @ means / np.maximum(numbers, 1)
    expected: Features = np.where(numbers > 0, with_labels, other_means.mean(axis=0))
    return expected


def regressions(rows: LabeledFeatures) -> LinearHead:
    """Fit a logistic regression for each label to the rows, and to each name as one more row.

    Its intercepts include how frequent labels are. `log_odds` are added to all heads later, so they
    are subtracted here.
    """
    features = np.concatenate([rows.features, rows.names])
    flags = np.concatenate([rows.labels, np.eye(len(rows.names), dtype=np.int64)])
    models = [new_regression().fit(features, column) for column in flags.T]
    weight = np.concatenate([model.coef_ for model in models])
    intercepts = np.concatenate([model.intercept_ for model in models])
    return LinearHead(weight, intercepts - log_odds(rows))


def log_odds(rows: LabeledFeatures) -> Features:
    """Return the prior log odds `[C]` of each label: from the rows, and one label per text before.

    This is Laplace's rule of succession: before any row is seen, each of C labels is as likely as
    a single one of them.
    """
    shares = (rows.counts + 1) / (len(rows.labels) + len(rows.names))
    odds: Features = np.log(shares) - np.log1p(-shares)
    return odds
