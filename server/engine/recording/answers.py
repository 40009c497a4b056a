"""The recorded parts of a result: its texts, its answer, its best labels, and its margin."""

from typing import Any, Final

import numpy as np

from prefixes.answers import (
    DEFAULT_THRESHOLD,
    decide,
    find_answers,
    find_entities,
    ranked,
    rules_of,
    sigmoid,
    softmax,
)
from prefixes.answers.labels import Logits, Scores
from server.engine.values import InferenceResult
from server.feedback.contents import Answer, AnswerContent

NUM_SCORES: Final = 5
"""Number of the best labels that are recorded with their scores."""


def content_of(result: InferenceResult) -> AnswerContent:
    """Return what is recorded of a result."""
    return AnswerContent(dict(result.named_fields), _answer(result), _best_scores(result))


def margin_of(result: InferenceResult) -> float | None:
    """Return how far the answer is from another one, between 0 and 1; None if that is not defined.

    It is the difference between the two highest probabilities, of a text, of its least certain
    token or of choices. Of several labels, it is the smallest distance to a threshold.
    """
    spec, outputs = result.spec, result.outputs
    match spec.task_type, spec.problem_type:
        case _, "single_label_classification":
            return _gap(softmax(outputs[0]))
        case _, "multi_label_classification":
            rules = rules_of(spec, result.rules)
            floors = DEFAULT_THRESHOLD if rules is None else rules.floors
            return float(np.abs(sigmoid(outputs[0]) - floors).min())
        case "multiple_choice", _:
            return _gap(softmax(np.concatenate(outputs)))
        case "token_classification", _:
            tokens = [place for place, span in enumerate(result.texts[0].spans) if span is not None]
            return _smallest_gap(softmax(outputs[0])[tokens])
        case _:
            return None


def _answer(result: InferenceResult) -> Answer:
    spec, outputs = result.spec, result.outputs
    match spec.task_type, spec.problem_type:
        case _, "single_label_classification":
            # Also if a rule withheld it: the best label is what a right answer is compared with.
            return {"label": decide(spec, outputs[0], None).label}
        case _, "multi_label_classification":
            decision = decide(spec, outputs[0], rules_of(spec, result.rules))
            return {"labels": list(decision.labels or ())}
        case _, "regression":
            return {"value": float(outputs[0][0])}
        case "multiple_choice", _:
            return {"choice": int(np.concatenate(outputs).argmax())}
        case "token_classification", _:
            return {"entities": _entities(result)}
        case _:
            (best,) = find_answers(spec, result.sliced_text, result.texts, outputs, top_k=1)
            return {"answer": {"start": best.start, "end": best.end}}


def _entities(result: InferenceResult) -> list[dict[str, Any]]:
    found = find_entities(
        result.spec, result.sliced_text, result.texts[0], result.outputs[0], strategy="first"
    )
    return [{"start": one.start, "end": one.end, "label": one.label} for one in found]


def _best_scores(result: InferenceResult) -> list[tuple[str, float]]:
    match result.spec.problem_type:
        case "single_label_classification":
            scores = softmax(result.outputs[0])
        case "multi_label_classification":
            scores = sigmoid(result.outputs[0])
        case _:
            return []
    best = ranked(result.spec.labels, scores, NUM_SCORES)
    return [(label, round(score, 4)) for label, score in best]


def _gap(probabilities: Scores) -> float | None:
    return None if len(probabilities) < 2 else _smallest_gap(probabilities[None])


def _smallest_gap(probabilities: Logits) -> float | None:
    """Return the smallest difference between the two highest of each row, `[N, C]`."""
    if probabilities.shape[0] == 0 or probabilities.shape[1] < 2:
        return None
    highest = np.partition(probabilities, -2, axis=-1)[:, -2:]
    return float((highest[:, 1] - highest[:, 0]).min())
