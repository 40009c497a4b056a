"""Multiple choice: a row's choices and the number of the right one."""

from pathlib import Path
from typing import Final

import numpy as np
import pytest

from prefixes.backbone import Backbone
from tests.factories import make_spec
from tests.training.learnable_tasks import choice_rows, make_config, write_jsonl
from training.data.parts import load_examples, load_inputs, load_task
from training.errors import DataRejected
from training.examples import Columns, Examples, Input
from training.tasks import definition_of

TASK_TYPE: Final = "multiple_choice"


def test_choices_are_paired_with_the_text(tmp_path: Path) -> None:
    rows = [{"text_a": "the film", "choices": ["good", "bad"], "label": n} for n in (0, "1", 1)]
    data = load_task(make_config(write_jsonl(tmp_path / "rows.jsonl", rows), task_type=TASK_TYPE))
    examples = [*data.train.inputs, *data.validation.inputs]
    assert examples[0] == {"text_a": "the film", "choices": ("good", "bad")}
    assert data.template.render(examples[0]) == [("the film", "good"), ("the film", "bad")]
    assert sorted([*data.train.truths, *data.validation.truths]) == [0, 1, 1]
    assert data.labels == ()


def test_a_template_says_how_a_choice_is_asked_about(tmp_path: Path) -> None:
    rows = [
        {"premise": "it is late", "ask": "cause", "choices": ["a", "b"], "right": n}
        for n in (0, 1, 1)
    ]
    config = make_config(
        write_jsonl(tmp_path / "rows.jsonl", rows),
        task_type=TASK_TYPE,
        template="{premise} {ask}",
        pair_template="it was {choice}",
        label_column="right",
    )
    data = load_task(config)
    assert data.template.render(data.train.inputs[0])[1] == ("it is late cause", "it was b")


def test_everything_wrong_with_rows_is_told(tmp_path: Path) -> None:
    sound = choice_rows(1)[0]
    path = write_jsonl(
        tmp_path / "rows.jsonl",
        [
            sound,
            {**sound, "label": 7},
            {**sound, "label": None},
            {**sound, "choices": ["one"], "label": 0},
            {**sound, "choices": "one two"},
            {**sound, "choices": ["one", "\ufeff"], "label": 0},
            {"choices": ["one", "two"], "label": 0},
        ],
    )
    with pytest.raises(DataRejected) as caught:
        load_task(make_config(path, task_type=TASK_TYPE))
    told = {(one.line, one.message) for one in caught.value.problems}
    last = len(sound["choices"]) - 1
    absent = (
        "is missing; give every row a value, or name another column with text_column or pair_column"
    )
    assert told == {
        (2, f"'label': expected the number of a choice, 0 to {last}, found 7"),
        (3, "'label': expected a label of 1 to 200 characters, found None"),
        (4, "'choices': expected 2 to 100, found 1"),
        (5, "'choices': expected a list of texts, found 'one two'"),
        (6, "'choices': expected texts, found an empty text"),
        (7, f"'text': {absent}, found only the columns choices, label"),
    }


def test_the_choice_of_the_highest_score_is_the_answer(backbone: Backbone) -> None:
    spec = make_spec(backbone.fingerprint, task_type=TASK_TYPE)
    fields: Input = {"premise": "the film", "choices": ("a", "b", "c")}
    outputs = [np.array([score], dtype=np.float32) for score in (1.0, 3.0, 2.0)]
    definition = definition_of(TASK_TYPE)
    answer = definition.answer(spec, fields, (), outputs)
    assert (answer["label"], answer["chosen"]) == (1, "b")
    assert sum(answer["scores"]) == pytest.approx(1)
    assert answer["score"] == max(answer["scores"])
    measured = definition.measure(
        spec, Examples((fields, fields), (1, 2)), [(), ()], [outputs, outputs]
    )
    assert measured.metrics["accuracy"] == 0.5


def test_rows_are_read_by_the_fields_of_a_prefix(backbone: Backbone, tmp_path: Path) -> None:
    spec = make_spec(backbone.fingerprint, task_type=TASK_TYPE)
    path = write_jsonl(
        tmp_path / "rows.jsonl", [{"text": "the film", "choices": ["good", "bad"], "label": 1}]
    )
    assert load_examples(path, spec, Columns("text")).truths == (1,)
    assert load_inputs(path, spec, Columns("text")) == [
        {"premise": "the film", "choices": ("good", "bad")}
    ]
