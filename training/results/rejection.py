"""Fits the rule by which a single-label task rejects texts outside of its labels.

The training rows give the directions that distinguish labels best, and the mean of each label. The
validation rows give the balance of the two parts of the score, and the cutoff. Decision record 26
compares this score with others.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf

from prefixes import Prefix
from prefixes.answers import energy_scores, nearest_distances, rejection_scores
from prefixes.backbone import Backbone
from prefixes.spec import Decisions, Rejection, Vectors
from training.data.encoding import encode_rows
from training.examples import Examples, TaskData
from training.learning.evaluate import features_of, served_outputs

Floats = NDArray[np.float64]

_MAX_ROWS: Final = 4096
"""Maximum number of training rows to run. More change the covariance of the features little."""
_DIMENSIONS: Final = 64
_MIN_DIMENSIONS: Final = 16
_MIN_DEVIATION: Final = 1e-6
_MAX_BYTES: Final = 256 * 2**10
"""Maximum bytes of the vectors of a file. Golden examples and labels need space in the header."""


@dataclass(frozen=True, slots=True)
class FittedRejection:
    """A fitted rule, and the shares of the validation and test rows that it keeps.

    `rule` is None, with a warning, if there are too few validation rows.
    """

    rule: Rejection | None
    num_rows: int
    kept: float | None = None
    test_kept: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """Describe the rule in a line, or the reason for not having one."""
        if self.rule is None:
            return "; ".join(self.warnings)
        kept = f"keeps {self.kept:.1%} of {self.num_rows} validation rows"
        tested = "" if self.test_kept is None else f" and {self.test_kept:.1%} of the test rows"
        return f"the rejection rule {kept}{tested}"

    @property
    def document(self) -> dict[str, Any] | None:
        """The figures for reports, without the vectors."""
        if self.rule is None:
            return None
        return {
            "target": self.rule.kept,
            "cutoff": self.rule.cutoff,
            "dimensions": self.rule.num_dimensions,
            "validation_rows": self.num_rows,
            "validation_kept": self.kept,
            "test_kept": self.test_kept,
        }


def fit_rejection(
    backbone: Backbone, prefix: Prefix, data: TaskData, kept: float, *, tokens_per_batch: int
) -> tuple[Prefix, FittedRejection]:
    """Add a rule to a calibrated prefix that keeps this share of the validation rows.

    Returns:
        The prefix, unchanged if no rule can be fitted.
    """
    num_rows = len(data.validation)
    if num_rows * (1 - kept) < 1:
        needed = int(np.ceil(1 / (1 - kept) - 1e-9))
        warning = (
            f"no rejection rule: a cutoff that keeps {kept:.6g} of the texts needs {needed} or "
            f"more validation rows, found {num_rows}"
        )
        return prefix, FittedRejection(None, num_rows, warnings=(warning,))

    def features(examples: Examples[Any]) -> Floats:
        encoded = encode_rows(backbone, prefix.spec, examples)
        found = features_of(backbone, prefix, encoded, tokens_per_batch=tokens_per_batch)
        return found.astype(np.float64)

    validation = features(data.validation)
    logits = _logits(prefix, validation)
    vectors = _vectors(prefix, data.train, features, validation, logits)
    draft = _with_rule(prefix, Rejection(cutoff=0.0, kept=kept, **vectors))

    def scores(examples: Examples[Any]) -> Floats:
        return _served_scores(backbone, draft, examples, tokens_per_batch)

    held_out = scores(data.validation)
    rule = _rule(draft).model_copy(update={"cutoff": cutoff_of(held_out, kept)})
    tested = None if data.test is None else float((scores(data.test) >= rule.cutoff).mean())
    fitted = FittedRejection(rule, num_rows, float((held_out >= rule.cutoff).mean()), tested)
    return _with_rule(prefix, rule), fitted


def cutoff_of(scores: Floats, kept: float) -> float:
    """Return the highest score that leaves at least a share `kept` of the scores at or above it."""
    num_below = int((1 - kept) * len(scores) + 1e-9)
    return float(np.sort(scores)[num_below])


def discriminants(features: Floats, labels: NDArray[np.int64], count: int) -> Floats:
    """Return `[hidden, count]` directions in which features `[n, hidden]` have unit covariance.

    First come those that distinguish the means of labels best (linear discriminant analysis), then
    those in which the rows of a label vary least. The covariance within labels is that of Ledoit
    and Wolf, "A Well-Conditioned Estimator for Large-Dimensional Covariance Matrices" (2004).
    """
    means = _means(features, labels)
    within = ledoit_wolf(features - means[labels], assume_centered=True)[0]
    variances, axes = np.linalg.eigh(within)  # in ascending order
    whitening = axes / np.sqrt(variances)
    shares = np.sqrt(np.bincount(labels, minlength=len(means)))[:, None]
    between = shares * ((means - features.mean(axis=0)) @ whitening)
    num_between = min(count, len(means) - 1)
    leading = np.linalg.svd(between, full_matrices=False)[2][:num_between]
    rest = np.eye(len(variances))[: count - num_between]
    basis: Floats = np.linalg.qr(np.concatenate([leading, rest]).T)[0]
    directions: Floats = whitening @ basis
    return directions


def _vectors(
    prefix: Prefix,
    train: Examples[Any],
    features: Callable[[Examples[Any]], Floats],
    validation: Floats,
    logits: Floats,
) -> dict[str, Vectors]:
    """Fit projection and centers, scaled so that distances vary as much as energies do."""
    dimensions = _num_dimensions(prefix)
    if dimensions == 0:
        return {}
    rows = _sample(train)
    labels = np.array([train.truths[row] for row in rows], dtype=np.int64)
    learned = features(train.take(rows))
    if learned.std(axis=0).max() < _MIN_DEVIATION or validation.std(axis=0).max() < _MIN_DEVIATION:
        return {}  # all texts are the same for the backbone
    projection = discriminants(learned, labels, dimensions)
    centers = _means(learned, labels, prefix.spec.num_labels) @ projection
    distances = nearest_distances(validation @ projection, centers)
    scale = energy_scores(logits).std() / distances.std()
    return {"projection": Vectors.of(scale * projection), "centers": Vectors.of(scale * centers)}


def _num_dimensions(prefix: Prefix) -> int:
    """Return how many dimensions fit into a file; 0 if too few would distinguish the labels."""
    rows = prefix.spec.backbone.hidden_size + prefix.spec.num_labels
    fitting = min(_DIMENSIONS, _MAX_BYTES // (2 * rows), prefix.spec.backbone.hidden_size)
    return fitting if fitting >= _MIN_DIMENSIONS else 0


def _sample(train: Examples[Any]) -> list[int]:
    """Select rows at equal distances, since files may be sorted by label."""
    count = min(_MAX_ROWS, len(train))
    return [place * len(train) // count for place in range(count)]


def _means(features: Floats, labels: NDArray[np.int64], num_labels: int | None = None) -> Floats:
    """Return the mean of each label. A label without rows gets that of one with rows."""
    counts = np.bincount(labels, minlength=num_labels or 0)
    sums = np.zeros((len(counts), features.shape[1]))
    np.add.at(sums, labels, features)
    means: Floats = sums / np.maximum(counts, 1)[:, None]
    means[counts == 0] = means[labels[0]]
    return means


def _logits(prefix: Prefix, features: Floats) -> Floats:
    weight, bias = (prefix.tensors[f"head.output.{part}"] for part in ("weight", "bias"))
    logits: Floats = features @ weight.T.astype(np.float64) + bias
    return logits


def _served_scores(
    backbone: Backbone, prefix: Prefix, examples: Examples[Any], tokens_per_batch: int
) -> Floats:
    """Score examples as a server does: all windows of a long text, and not only its beginning."""
    rule = _rule(prefix)
    _, outputs = served_outputs(backbone, prefix, examples, tokens_per_batch=tokens_per_batch)
    stacked = np.stack([values for (values,) in outputs])
    logits, projected = np.split(stacked, [prefix.spec.num_labels], axis=1)
    return rejection_scores(rule, logits, projected if rule.num_dimensions else None)


def _rule(prefix: Prefix) -> Rejection:
    rule = prefix.spec.rejection
    assert rule is not None
    return rule


def _with_rule(prefix: Prefix, rule: Rejection) -> Prefix:
    decisions = prefix.spec.decisions or Decisions()
    decisions = decisions.model_copy(update={"rejection": rule})
    return Prefix(prefix.spec.model_copy(update={"decisions": decisions}), prefix.tensors)
