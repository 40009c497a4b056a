"""From logits to labels: activations, the best label, labels by threshold, and their ranking."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from prefixes.spec import PrefixSpec

Logits = NDArray[np.floating[Any]]
Scores = NDArray[np.float64]

DEFAULT_THRESHOLD: Final = 0.5


def softmax(logits: Logits) -> Scores:
    """Turn logits `[..., C]` into probabilities that sum to 1 over the last axis."""
    wide = logits.astype(np.float64)
    weights = np.exp(wide - wide.max(axis=-1, keepdims=True))
    total: Scores = weights / weights.sum(axis=-1, keepdims=True)
    return total


def sigmoid(logits: Logits) -> Scores:
    """Turn every logit into a probability of its own."""
    # The form with tanh never overflows, however large the logit.
    result: Scores = 0.5 * (1.0 + np.tanh(0.5 * logits.astype(np.float64)))
    return result


def best_label(spec: PrefixSpec, logits: Logits) -> str:
    """Name the label with the highest of the logits `[C]`; no activation changes which it is."""
    return spec.labels[int(logits.argmax())]


def chosen_labels(spec: PrefixSpec, logits: Logits) -> list[str]:
    """Name the labels of a multi-label task whose probability reaches its threshold."""
    reaches = sigmoid(logits) >= np.array(spec.thresholds or DEFAULT_THRESHOLD)
    return [label for label, is_chosen in zip(spec.labels, reaches, strict=True) if is_chosen]


def ranked(spec: PrefixSpec, scores: Scores, top_k: int | None = None) -> list[tuple[str, float]]:
    """Pair labels with scores `[C]`, the highest first; equal ones keep the order of the labels."""
    order = np.argsort(-scores, kind="stable")[:top_k]
    names = [spec.labels[place] for place in order.tolist()]
    return list(zip(names, scores[order].tolist(), strict=True))
