"""Comparison of two versions' answers to the same input."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from prefixes.answers import Decision, decide, find_answers, find_entities, rules_of
from server.engine.values import InferenceResult

MIN_SIMILARITY: Final = 0.95
"""Cosine similarity from which two embeddings agree."""

MAX_DIFFERENCE: Final = 0.05
"""Difference up to which two numbers agree, as a share of the larger one's amount."""


def agree(old: InferenceResult, new: InferenceResult) -> bool:
    """Return whether two versions of a task give the same answer to an input.

    Labels, entities, spans and choices agree if they are equal. Embeddings and the numbers of
    regressions agree if they are close.
    """
    if old.spec.task_type == "embedding":
        return _similarity(old.outputs[0], new.outputs[0]) >= MIN_SIMILARITY
    if old.spec.problem_type == "regression" == new.spec.problem_type:
        return _are_close(old.outputs[0], new.outputs[0])
    return answer_of(old) == answer_of(new)


def label_of(result: InferenceResult) -> str | None:
    """Return the label of a text, or the reason in parentheses why it has none.

    None for tasks without one label for each text.
    """
    if result.spec.problem_type != "single_label_classification":
        return None
    decision = _decision(result)
    return decision.label or f"({decision.reason})"


def answer_of(result: InferenceResult) -> object:
    """Return the answer as a value that can be compared, without scores."""
    spec = result.spec
    match spec.task_type:
        case "token_classification":
            (text,), (logits,) = result.texts, result.outputs
            found = find_entities(spec, result.sliced_text, text, logits, strategy="first")
            return [(entity.label, entity.start, entity.end) for entity in found]
        case "question_answering":
            (best,) = find_answers(spec, result.sliced_text, result.texts, result.outputs, top_k=1)
            return (best.start, best.end)
        case "multiple_choice":
            return int(np.concatenate(result.outputs).argmax())
        case _:
            decision = _decision(result)
            return (decision.label, decision.labels)


def _decision(result: InferenceResult) -> Decision:
    rules = rules_of(result.spec, result.rules)
    return decide(result.spec, result.outputs[0], rules, result.features)


def _similarity(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / lengths if lengths and one.shape == other.shape else 0.0


def _are_close(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    if one.shape != other.shape:
        return False
    largest = np.maximum(np.abs(one), np.abs(other))
    return bool((np.abs(one - other) <= MAX_DIFFERENCE * largest).all())
