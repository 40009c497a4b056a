"""From logits to scores: activations, sorting, thresholds. Every dialect goes through here."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prefixes import PrefixSpec
from server.api.schemas import FunctionToApply, Score
from server.engine.errors import InferenceFailed
from server.engine.work import Inferred

Array = NDArray[np.float64]

DEFAULT_FUNCTION: Final[dict[str, FunctionToApply]] = {
    "single_label_classification": "softmax",
    "multi_label_classification": "sigmoid",
    "regression": "none",
}
_DEFAULT_THRESHOLD: Final = 0.5


def probabilities(answer: Inferred, function: FunctionToApply | None = None) -> Array:
    """Apply an activation to an answer's logits, in the order of the task's labels.

    Args:
        answer: logits `[labels]` and the task's description.
        function: None takes the one of the problem type.

    Raises:
        InferenceFailed: when a logit is not a finite number; JSON could not even say so.
    """
    logits = answer.outputs[0].astype(np.float64)
    if not np.isfinite(logits).all():
        raise InferenceFailed(
            f"{answer.version} gave logits that are not finite: its prefix does not work with "
            "this backbone's number type"
        )
    return _FUNCTIONS[function or DEFAULT_FUNCTION[answer.spec.problem_type or ""]](logits)


def ranked(spec: PrefixSpec, scores: Array, top_k: int | None = None) -> list[Score]:
    """Pair labels with scores, the highest first; equal scores keep the order of the labels."""
    order = np.argsort(-scores, kind="stable")[:top_k]
    return [
        {"label": spec.labels[index], "score": score}
        for index, score in zip(order.tolist(), scores[order].tolist(), strict=True)
    ]


def chosen_labels(answer: Inferred) -> list[str]:
    """The labels of a multi-label answer whose probability reaches its threshold."""
    spec = answer.spec
    thresholds = spec.thresholds or (_DEFAULT_THRESHOLD,) * spec.num_labels
    return [
        label
        for label, probability, threshold in zip(
            spec.labels, _sigmoid(answer.outputs[0].astype(np.float64)), thresholds, strict=True
        )
        if probability >= threshold
    ]


def best_label(answer: Inferred) -> str:
    """The label with the highest logit; no activation changes which one that is."""
    return answer.spec.labels[int(answer.outputs[0].argmax())]


def _softmax(logits: Array) -> Array:
    weights = np.exp(logits - logits.max())
    total: Array = weights / weights.sum()
    return total


def _sigmoid(logits: Array) -> Array:
    # The form with tanh never overflows, however large the logit.
    result: Array = 0.5 * (1.0 + np.tanh(0.5 * logits))
    return result


def _same(logits: Array) -> Array:
    return logits


_FUNCTIONS: Final[dict[FunctionToApply, Callable[[Array], Array]]] = {
    "softmax": _softmax,
    "sigmoid": _sigmoid,
    "none": _same,
}
