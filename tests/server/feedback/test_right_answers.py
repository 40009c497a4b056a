"""Right answers: checks against the task and the input, and rows to train on."""

from typing import Any

import pytest

from prefixes import InputTemplate, PrefixSpec
from prefixes.backbone import Backbone
from server.errors import FeedbackRejected
from server.feedback.right_answers import agrees, checked_answer, row_of
from tests.factories import make_spec

TEXT = "Zoë 🐢 lives in Ulm"
NER = {"task_type": "token_classification", "labels": ("O", "B-name", "I-name", "B-place")}
QA = {"task_type": "question_answering"}
CHOICE = {"task_type": "multiple_choice"}
MULTI = {"problem_type": "multi_label_classification", "labels": ("art", "sport", "war")}
NUMBER = {"problem_type": "regression", "labels": ("stars",)}
FIELDS = {
    "text": TEXT,
    "question": "Where?",
    "context": TEXT,
    "premise": "p",
    "choices": ["a", "b", "c"],
}


def spec_of(backbone: Backbone, **changes: Any) -> PrefixSpec:
    return make_spec(backbone.fingerprint, **changes)


def entity(start: int, end: int, label: str = "name") -> dict[str, Any]:
    return {"start": start, "end": end, "label": label}


@pytest.mark.parametrize(
    ("task", "given", "expected"),
    [
        ({}, {"label": "good"}, {"label": "good"}),
        (MULTI, {"labels": ["war", "art", "war"]}, {"labels": ["art", "war"]}),
        (MULTI, {"labels": []}, {"labels": []}),
        (NUMBER, {"value": -3}, {"value": -3.0}),
        (
            NER,
            {"entities": [entity(15, 18, "place"), entity(0, 3)]},
            {"entities": [entity(0, 3), entity(15, 18, "place")]},
        ),
        (NER, {"entities": []}, {"entities": []}),
        (QA, {"answer": {"start": 15, "end": 18}}, {"answer": {"start": 15, "end": 18}}),
        (QA, {"answer": {"start": 7, "end": 7}}, {"answer": {"start": 0, "end": 0}}),
        (CHOICE, {"choice": 2}, {"choice": 2}),
    ],
)
def test_right_answers_get_the_form_of_recorded_ones(
    backbone: Backbone, task: dict[str, Any], given: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert checked_answer(spec_of(backbone, **task), FIELDS, given) == expected


@pytest.mark.parametrize(
    ("task", "given", "message"),
    [
        ({}, {}, "one member, `label`; found: none"),
        ({}, {"labels": ["good"]}, "one member, `label`; found: `labels`"),
        ({}, {"label": "good", "value": 1.0}, "found: `label`, `value`"),
        ({}, {"label": "godo"}, "'godo' is not a label of the task; did you mean 'good'"),
        (MULTI, {"labels": ["art", "tra"]}, r"labels\[1\]"),
        ({**NUMBER, "labels": ("a", "b")}, {"value": 1.0}, "gives 2 numbers"),
        (NER, {"entities": [entity(0, 3, "B-name")]}, "is not a label of the task"),
        (NER, {"entities": [entity(0, 99)]}, "which has 18 characters"),
        (NER, {"entities": [entity(3, 2)]}, "characters 3 to 2"),
        (NER, {"entities": [entity(2, 2)]}, "is empty"),
        (NER, {"entities": [entity(0, 5), entity(4, 6)]}, "overlaps"),
        (QA, {"answer": {"start": 0, "end": 99}}, "characters 0 to 99"),
        (CHOICE, {"choice": 3}, "expected 0 to 2; found 3"),
        ({"task_type": "embedding"}, {"label": "good"}, "no right answer"),
    ],
)
def test_answers_that_the_task_could_not_give_are_rejected(
    backbone: Backbone, task: dict[str, Any], given: dict[str, Any], message: str
) -> None:
    with pytest.raises(FeedbackRejected, match=message):
        checked_answer(spec_of(backbone, **task), FIELDS, given)


def test_one_of_hundreds_of_labels_is_found(backbone: Backbone) -> None:
    labels = tuple(f"étiquette {number}" for number in range(900))
    spec = spec_of(backbone, labels=labels)
    assert checked_answer(spec, FIELDS, {"label": labels[-1]}) == {"label": labels[-1]}
    with pytest.raises(FeedbackRejected, match="did you mean"):
        checked_answer(spec, FIELDS, {"label": "étiquete 12"})


def test_numbers_agree_if_they_are_close_and_other_answers_if_they_are_equal() -> None:
    assert agrees({"value": 1.0}, {"value": 1.04})
    assert not agrees({"value": 1.0}, {"value": 1.2})
    assert agrees({"value": 0.0}, {"value": 0.0})
    assert agrees({"labels": []}, {"labels": []})
    assert not agrees({"label": "bad"}, {"label": "good"})


def test_rows_have_the_usual_columns() -> None:
    pair = {"text_a": "one", "text_b": "two"}
    assert row_of(pair, {"label": "good"}) == {**pair, "label": "good"}
    assert row_of({"text": TEXT}, {"labels": ["a"]}) == {"text": TEXT, "label": ["a"]}
    entities = [entity(0, 3)]
    assert row_of({"text": TEXT}, {"entities": entities}) == {"text": TEXT, "entities": entities}
    question = {"question": "Where?", "context": TEXT}
    right = {"answer": {"start": 15, "end": 18}}
    assert row_of(question, right)["answers"] == {"text": ["Ulm"], "answer_start": [15]}
    none = {"answer": {"start": 0, "end": 0}}
    assert row_of(question, none)["answers"] == {"text": [], "answer_start": []}


def test_spans_count_characters_of_the_field_that_the_template_names(backbone: Backbone) -> None:
    spec = spec_of(backbone, **NER, input=InputTemplate(text="{sentence}"))
    given = {"entities": [entity(0, 3)]}
    assert checked_answer(spec, {"sentence": "Zoë"}, given) == given
