"""Rejection: how well a text fits the texts that a task was trained on."""

from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from prefixes.answers.labels import Logits, Scores
from prefixes.spec import Rejection

Features = NDArray[np.floating[Any]]


class _Sliceable(Protocol):
    def __getitem__(self, part: slice, /) -> Self: ...


Values = TypeVar("Values", bound=_Sliceable)


@dataclass(frozen=True, slots=True)
class RejectionVerdict:
    """The score of a text under a task's rejection rule, and the rule's cutoff."""

    score: float
    cutoff: float

    @property
    def is_rejected(self) -> bool:
        """Whether the text is out of the task's scope."""
        return not self.score >= self.cutoff


def split_outputs(outputs: Values, num_projected: int) -> tuple[Values, Values | None]:
    """Split what the device returns for a text: the outputs, and its projected features `[r]`.

    Few tasks have projected features. They follow the outputs `[outputs]`.
    """
    if num_projected == 0:
        return outputs, None
    return outputs[:-num_projected], outputs[-num_projected:]


def rejection_verdict(
    rule: Rejection, logits: Logits, projected: Features | None
) -> RejectionVerdict | None:
    """Apply a rule to one text: its logits `[C]`, and its projected features `[r]` if any.

    Returns:
        None without the features that the rule needs.
    """
    if rule.centers is not None and projected is None:
        return None
    features = None if projected is None else projected[None]
    (score,) = rejection_scores(rule, logits[None], features).tolist()
    return RejectionVerdict(score, rule.cutoff)


def rejection_scores(rule: Rejection, logits: Logits, projected: Features | None) -> Scores:
    """Return the scores `[n]` of texts with logits `[n, C]` and projected features `[n, r]`."""
    scores = energy_scores(logits)
    if rule.centers is None:
        return scores
    assert projected is not None, "a rule with centers needs projected features"
    distances = nearest_distances(projected, rule.centers.matrix)
    total: Scores = scores - distances
    return total


def energy_scores(logits: Logits) -> Scores:
    """Return the logsumexp of logits `[n, C]`, the negated free energy."""
    wide = logits.astype(np.float64)
    highest = wide.max(axis=-1)
    total: Scores = highest + np.log(np.exp(wide - highest[:, None]).sum(axis=-1))
    return total


def nearest_distances(projected: Features, centers: Features) -> Scores:
    """Return the Euclidean distance of each of n rows `[n, r]` to the nearest center `[C, r]`."""
    rows, points = projected.astype(np.float64), centers.astype(np.float64)
    squares = (rows**2).sum(1)[:, None] - 2 * rows @ points.T + (points**2).sum(1)
    nearest: Scores = np.sqrt(np.maximum(squares.min(axis=1), 0))
    return nearest
