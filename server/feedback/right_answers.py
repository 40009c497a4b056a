"""Right answers: whether they fit the task and the input, and as rows to train on."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from prefixes.names import nearest
from prefixes.spec import PrefixSpec
from prefixes.template import CHOICES
from server.errors import FeedbackRejected
from server.feedback.contents import Answer, Fields

_BACKGROUND: Final = "O"
_MAX_DIFFERENCE: Final = 0.05
"""Difference up to which two numbers agree, as a share of the larger one's amount."""


def member_of(spec: PrefixSpec) -> str:
    """Return the name of the member that holds the answer of a task.

    Raises:
        FeedbackRejected: when the task has no answers that could be right or wrong.
    """
    match spec.task_type, spec.problem_type:
        case _, "single_label_classification":
            return "label"
        case _, "multi_label_classification":
            return "labels"
        case _, "regression":
            return "value"
        case "token_classification", _:
            return "entities"
        case "question_answering", _:
            return "answer"
        case "multiple_choice", _:
            return "choice"
        case _:
            raise FeedbackRejected("An embedding has no right answer.")


def checked_answer(spec: PrefixSpec, fields: Fields, given: Answer) -> Answer:
    """Return a right answer in the form in which answers are recorded.

    Args:
        spec: the description of the task.
        fields: the texts of the input.
        given: the members that the caller sent.

    Raises:
        FeedbackRejected: when it is not an answer that the task could give to the input.
    """
    name = member_of(spec)
    if set(given) != {name}:
        found = ", ".join(f"`{one}`" for one in sorted(given)) or "none"
        raise FeedbackRejected(
            f"The right answer of this task is one member, `{name}`; found: {found}."
        )
    return {name: _CHECKS[name](spec, fields, given[name])}


def agrees(answer: Answer, right: Answer) -> bool:
    """Return whether a task gave the right answer. Numbers agree if they are close."""
    if "value" in right:
        one, other = answer["value"], right["value"]
        return bool(abs(one - other) <= _MAX_DIFFERENCE * max(abs(one), abs(other)))
    return answer == right


def row_of(fields: Fields, right: Answer) -> dict[str, Any]:
    """Return a row to train on, with the usual columns of the task type."""
    (name,) = right
    value = right[name]
    if name == "entities":
        return {**fields, "entities": value}
    if name == "answer":
        return {**fields, "answers": _answers(fields, value)}
    return {**fields, "label": value}


def _label(spec: PrefixSpec, _fields: Fields, value: Any) -> str:
    return _known_label("label", value, spec.labels)


def _labels(spec: PrefixSpec, _fields: Fields, values: Sequence[str]) -> list[str]:
    for place, value in enumerate(values):
        _known_label(f"labels[{place}]", value, spec.labels)
    return [label for label in spec.labels if label in values]


def _value(spec: PrefixSpec, _fields: Fields, value: float) -> float:
    if len(spec.labels) != 1:
        raise FeedbackRejected(
            f"The task gives {len(spec.labels)} numbers; feedback is possible for one number only."
        )
    if not math.isfinite(value):
        raise FeedbackRejected(f"value: expected a finite number; found {value}.")
    return float(value)


def _entities(
    spec: PrefixSpec, fields: Fields, values: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    types = _types_of(spec.labels)
    text = _sliced(spec, fields)
    end = 0
    found = sorted(values, key=lambda one: (one["start"], one["end"]))
    for one in found:
        _known_label("entities: label", one["label"], types)
        _check_span("entities", one, text)
        if one["start"] == one["end"]:
            raise FeedbackRejected(f"entities: the entity at character {one['start']} is empty.")
        if one["start"] < end:
            raise FeedbackRejected(
                f"entities: the entity at character {one['start']} overlaps with another one. "
                "Send entities that do not overlap."
            )
        end = one["end"]
    return [{name: one[name] for name in ("start", "end", "label")} for one in found]


def _answer(spec: PrefixSpec, fields: Fields, value: Mapping[str, int]) -> dict[str, int]:
    _check_span("answer", value, _sliced(spec, fields))
    is_none = value["start"] == value["end"]  # an empty answer anywhere is "no answer"
    return {"start": 0 if is_none else value["start"], "end": 0 if is_none else value["end"]}


def _choice(_spec: PrefixSpec, fields: Fields, value: int) -> int:
    number = len(fields[CHOICES])
    if value >= number:
        raise FeedbackRejected(f"choice: expected 0 to {number - 1}; found {value}.")
    return value


_CHECKS: Final[Mapping[str, Callable[[PrefixSpec, Fields, Any], Any]]] = {
    "label": _label,
    "labels": _labels,
    "value": _value,
    "entities": _entities,
    "answer": _answer,
    "choice": _choice,
}


def _known_label(where: str, value: str, labels: Sequence[str]) -> str:
    if value not in labels:
        raise FeedbackRejected(
            f"{where}: {value[:80]!r} is not a label of the task{nearest(value, labels)}. Send one "
            "of its labels, or train a version with the new label first."
        )
    return value


def _types_of(tags: Sequence[str]) -> list[str]:
    """Return the types of entities that tags such as `B-person` stand for."""
    types = (tag[2:] if tag.startswith(("B-", "I-")) else tag for tag in tags)
    return list(dict.fromkeys(one for one in types if one != _BACKGROUND))


def _sliced(spec: PrefixSpec, fields: Fields) -> str:
    assert spec.sliced_field is not None, "a task with spans has the text they point into"
    return str(fields[spec.sliced_field])


def _check_span(where: str, span: Mapping[str, Any], text: str) -> None:
    start, end = span["start"], span["end"]
    if not 0 <= start <= end <= len(text):
        raise FeedbackRejected(
            f"{where}: characters {start} to {end} are not a part of the text, which has "
            f"{len(text)} characters. Count characters of the text as it was sent."
        )


def _answers(fields: Fields, span: Mapping[str, int]) -> dict[str, list[Any]]:
    if span["start"] == span["end"]:
        return {"text": [], "answer_start": []}
    context = str(fields["context"])
    return {"text": [context[span["start"] : span["end"]]], "answer_start": [span["start"]]}
