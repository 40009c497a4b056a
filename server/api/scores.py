"""Scores: the activation that a request selects, and the entries of labels."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prefixes import PrefixRef
from prefixes.answers import RuleSet, ranked, scored_logits, sigmoid, softmax
from server.api.schemas import FunctionToApply, Score
from server.engine.values import InferenceResult
from server.errors import InferenceFailed

Array = NDArray[np.float64]

MAX_SCORES: Final = 40_000
"""Maximum number of scores in a response. It suffices for the largest request to a task of 150
labels, and for one input of the largest task. Without it, a request of a few bytes could cause a
response of half a gigabyte."""

DEFAULT_FUNCTION: Final[dict[str, FunctionToApply]] = {
    "single_label_classification": "softmax",
    "multi_label_classification": "sigmoid",
    "regression": "none",
}


def probabilities(
    answer: InferenceResult,
    function: FunctionToApply | None = None,
    rules: RuleSet | None = None,
) -> Array:
    """Apply an activation to the logits of a result, in the order of its labels.

    Args:
        answer: the logits `[labels]`, and the description of the task.
        function: None selects the default of the problem type.
        rules: select a level of the labels, if the task has a hierarchy.

    Raises:
        InferenceFailed: when a logit is not finite: JSON cannot represent it.
    """
    logits = finite_logits(answer.version, answer.outputs)
    scored = scored_logits(answer.spec, logits, rules).astype(np.float64)
    return _FUNCTIONS[function or DEFAULT_FUNCTION[answer.spec.problem_type or ""]](scored)


def finite_logits(version: PrefixRef, outputs: Sequence[NDArray[np.float32]]) -> Array:
    """Return the logits `[labels]` of a classified input.

    Raises:
        InferenceFailed: when one is not finite: JSON cannot represent it.
    """
    logits = outputs[0].astype(np.float64)
    if not np.isfinite(logits).all():
        raise InferenceFailed(
            f"The logits of {version} are not finite. Its prefix does not work with the data type "
            "of this server. Upload another version, or ask the operator to change "
            "POLYPREFIX_DTYPE."
        )
    return logits


def ranked_scores(labels: Sequence[str], scores: Array, top_k: int | None = None) -> list[Score]:
    """List labels with their scores, the highest first."""
    return [{"label": label, "score": score} for label, score in ranked(labels, scores, top_k)]


def _same(logits: Array) -> Array:
    return logits


_FUNCTIONS: Final[dict[FunctionToApply, Callable[[Array], Array]]] = {
    "softmax": softmax,
    "sigmoid": sigmoid,
    "none": _same,
}
