"""Labels: activations and ranking."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.floating[Any]]
Scores = NDArray[np.float64]

DEFAULT_THRESHOLD: Final = 0.5


def softmax(logits: Logits) -> Scores:
    """Convert logits `[..., C]` to probabilities that sum to 1 over the last axis."""
    wide = logits.astype(np.float64)
    weights = np.exp(wide - wide.max(axis=-1, keepdims=True))
    total: Scores = weights / weights.sum(axis=-1, keepdims=True)
    return total


def sigmoid(logits: Logits) -> Scores:
    """Convert each logit to an independent probability."""
    # The form with tanh does not overflow for large logits.
    result: Scores = 0.5 * (1.0 + np.tanh(0.5 * logits.astype(np.float64)))
    return result


def ranked(
    labels: Sequence[str], scores: Scores, top_k: int | None = None
) -> list[tuple[str, float]]:
    """Pair labels with scores `[C]`, highest first; ties keep the order of the labels."""
    order = np.argsort(-scores, kind="stable")[:top_k]
    names = [labels[place] for place in order.tolist()]
    return list(zip(names, scores[order].tolist(), strict=True))
