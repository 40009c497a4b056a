"""Tagged texts in other forms than rows of lists: CoNLL's columns, a token a row, lists as text."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from prefixes.backbone import Backbone
from tests.factories import make_spec
from tests.training.learnable_tasks import (
    choice_rows,
    make_config,
    tagged_rows,
    write_csv,
    write_jsonl,
)
from training.data.parts import load_inputs, load_task
from training.errors import DataRejected
from training.examples import Columns, TaskData

KIND = "token_classification"
ROWS = tagged_rows(12)


def load(path: Path, **changes: Any) -> TaskData:
    return load_task(make_config(path, validation=path, task_type=KIND, **changes))


@pytest.fixture
def expected(tmp_path: Path) -> TaskData:
    return load(write_jsonl(tmp_path / "expected.jsonl", ROWS))


def assert_same(data: TaskData, expected: TaskData) -> None:
    assert data.labels == expected.labels
    assert list(data.train.inputs) == list(expected.train.inputs)
    assert list(data.train.truths) == list(expected.train.truths)


def pairs_of(row: dict[str, Any]) -> Iterable[tuple[str, str]]:
    return zip(row["tokens"], row["tags"], strict=True)


@pytest.mark.parametrize("name", ["rows.conll", "rows.TXT", "rows.bio"])
def test_columns_of_conll_are_read(tmp_path: Path, expected: TaskData, name: str) -> None:
    path = tmp_path / name
    sentences = ["".join(f"{token} _ {tag}\n" for token, tag in pairs_of(row)) for row in ROWS]
    path.write_text("-DOCSTART- _ O\n\n" + "\n".join(sentences), encoding="utf-8")
    assert_same(load(path), expected)
    assert_same(load(path, label_column="ner"), expected)


def test_plain_sentences_are_rejected_as_columns(tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    path.write_text("She went home.\nHe is late.\nWhere are the trains?\n", encoding="utf-8")
    with pytest.raises(DataRejected, match="expected a token and its tag, in 3 columns"):
        load(path)


@pytest.mark.parametrize(
    ("columns", "changes"),
    [
        (("sentence_id", "token", "tag"), {}),
        (("Sentence #", "Word", "Tag"), {}),
        (("sent_id", "piece", "kind"), {"text_column": "piece", "label_column": "kind"}),
    ],
)
@pytest.mark.parametrize("is_filled", [True, False])
def test_a_token_a_row_is_joined_by_the_number_of_its_sentence(
    tmp_path: Path,
    expected: TaskData,
    columns: tuple[str, str, str],
    changes: dict[str, str],
    is_filled: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    rows = [
        dict(zip(columns, (number if is_filled or not place else "", *pair), strict=True))
        for number, row in enumerate(ROWS)
        for place, pair in enumerate(pairs_of(row))
    ]
    assert_same(load(write_csv(tmp_path / "rows.csv", rows), **changes), expected)


@pytest.mark.parametrize("end", ["\n", ",\n"], ids=["a blank line", "a row of blank cells"])
def test_a_token_a_row_is_joined_up_to_a_blank_one(
    tmp_path: Path, expected: TaskData, end: str
) -> None:
    path = tmp_path / "rows.csv"
    lines = ["".join(f"{token},{tag}\n" for token, tag in pairs_of(row)) + end for row in ROWS]
    path.write_text("tokens,tags\n" + "".join(lines), encoding="utf-8")
    assert_same(load(path), expected)


def test_tokens_without_any_end_of_a_sentence_are_refused(tmp_path: Path) -> None:
    rows = [{"token": "a", "tag": "B-x"}] * 1001
    with pytest.raises(DataRejected, match="no ends of sentences: add a column"):
        load(write_csv(tmp_path / "rows.csv", rows))


def test_lists_as_text_in_a_table_are_read(tmp_path: Path, expected: TaskData) -> None:
    cells = [{"tokens": str(row["tokens"]), "tags": str(row["tags"])} for row in ROWS]
    assert_same(load(write_csv(tmp_path / "rows.csv", cells)), expected)
    text = "a good film"
    spans = [{"text": text, "entities": [{"start": 2, "end": 6, "label": "praise"}]}] * 4
    written = [{**row, "entities": str(row["entities"])} for row in spans]
    assert_same(
        load(write_csv(tmp_path / "spans.csv", written)),
        load(write_jsonl(tmp_path / "spans.jsonl", spans)),
    )


def test_choices_as_text_in_a_table_are_read(tmp_path: Path) -> None:
    rows = choice_rows(12)
    listed = load_task(
        make_config(write_jsonl(tmp_path / "rows.jsonl", rows), task_type="multiple_choice")
    )
    cells = [{**row, "choices": str(row["choices"])} for row in rows]
    data = load_task(
        make_config(write_csv(tmp_path / "rows.csv", cells), task_type="multiple_choice")
    )
    assert list(data.train.inputs) == list(listed.train.inputs)


def test_texts_to_predict_are_whole_where_a_column_is_named(
    backbone: Backbone, tmp_path: Path
) -> None:
    spec = make_spec(backbone.fingerprint, task_type=KIND)
    path = write_csv(tmp_path / "rows.csv", [{"review": "a good film"}, {"review": "bad"}])
    inputs = list(load_inputs(path, spec, Columns(text="review")))
    assert inputs == [{"text": "a good film"}, {"text": "bad"}]
