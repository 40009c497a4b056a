"""Logits as answers: labels and scores, one JSON object per text."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from prefixes import PrefixSpec

DEFAULT_THRESHOLD: Final = 0.5


def predictions(
    spec: PrefixSpec, inputs: Sequence[Mapping[str, str]], logits: NDArray[np.float32]
) -> Iterator[dict[str, Any]]:
    """Say of every input what its logits `[n, C]` mean.

    A single label gives `label`, `score` and all `scores`; several give `labels` and `scores`;
    a regression gives `score`.
    """
    for fields, row in zip(inputs, logits.astype(np.float64), strict=True):
        yield {**fields, **_answer(spec, row)}


def _answer(spec: PrefixSpec, logits: NDArray[np.float64]) -> dict[str, Any]:
    if spec.problem_type == "regression":
        return {"score": float(logits[0])}
    if spec.problem_type == "multi_label_classification":
        scores = sigmoid(logits)
        chosen = scores >= np.array(spec.thresholds or DEFAULT_THRESHOLD)
        labels = [label for label, is_chosen in zip(spec.labels, chosen, strict=True) if is_chosen]
        return {"labels": labels, "scores": _by_label(spec, scores)}
    weights = np.exp(logits - logits.max())
    scores = weights / weights.sum()
    best = int(scores.argmax())
    return {
        "label": spec.labels[best],
        "score": float(scores[best]),
        "scores": _by_label(spec, scores),
    }


def sigmoid(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The logistic function, in the form with tanh that never overflows."""
    result: NDArray[np.float64] = 0.5 * (1.0 + np.tanh(0.5 * logits.astype(np.float64)))
    return result


def _by_label(spec: PrefixSpec, scores: NDArray[np.float64]) -> dict[str, float]:
    return {label: float(score) for label, score in zip(spec.labels, scores, strict=True)}
