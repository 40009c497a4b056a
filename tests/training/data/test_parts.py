"""Labeled files: the rows that are read from them, and the report of all problems at once."""

import json
from pathlib import Path
from typing import Any

import pytest

from prefixes.backbone import Backbone
from tests.factories import make_spec
from tests.training.learnable_tasks import (
    make_config,
    sentiment_rows,
    topic_rows,
    write_csv,
    write_jsonl,
)
from training.data.parts import load_examples, load_inputs, load_task
from training.errors import DataRejected, PlanRejected
from training.examples import Columns


def problems_of(path: Path, **changes: Any) -> list[str]:
    with pytest.raises(DataRejected) as caught:
        load_task(make_config(path, **changes))
    return [str(problem) for problem in caught.value.problems]


def test_jsonl_and_csv_say_the_same(tmp_path: Path) -> None:
    rows = [*sentiment_rows(12), {"text": 'a "quoted", bad\nline', "label": "bad"}]
    lines = load_task(make_config(write_jsonl(tmp_path / "rows.jsonl", rows)))
    cells = load_task(make_config(write_csv(tmp_path / "rows.csv", rows)))
    assert lines.labels == cells.labels == ("bad", "good")
    assert lines.train.inputs == cells.train.inputs
    assert lines.train.truths == cells.train.truths
    assert lines.sha256 != cells.sha256


def test_a_csv_of_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes("\ufefftext,label\r\ngood,1\r\n\r\nbad,0\r\ngreat,1\r\n".encode())
    data = load_task(make_config(path))
    assert data.labels == ("0", "1")
    assert len(data.train) + len(data.validation) == 3


def test_labels_are_sorted_with_numbers_by_value_or_taken_as_given(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": label} for label in ("10", "9", "x", "2")]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    assert load_task(make_config(path)).labels == ("2", "9", "10", "x")
    given = ("x", "9", "10", "2", "unused")
    assert load_task(make_config(path, labels=given)).labels == given


def test_labels_may_be_json_numbers_and_truth_values(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": label} for label in (True, False, 3)]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    assert load_task(make_config(path)).labels == ("3", "false", "true")


def test_several_labels_come_as_a_list_or_in_one_cell(tmp_path: Path) -> None:
    rows = topic_rows(20)
    cells = [{**row, "label": " | ".join(row["label"])} for row in rows]
    problem_type = "multi_label_classification"
    one = load_task(
        make_config(write_jsonl(tmp_path / "rows.jsonl", rows), problem_type=problem_type)
    )
    other = load_task(
        make_config(write_csv(tmp_path / "rows.csv", cells), problem_type=problem_type)
    )
    assert one.labels == other.labels == ("book", "money", "prize")
    assert one.train.truths == other.train.truths
    assert set(one.train.truths[0]) <= {0.0, 1.0}


def test_texts_are_found_by_their_usual_names_or_the_names_given(tmp_path: Path) -> None:
    pairs = [{"text_a": "a", "text_b": "b", "label": n} for n in (0, 1, 1)]
    data = load_task(make_config(write_jsonl(tmp_path / "pairs.jsonl", pairs)))
    assert data.train.inputs[0] == {"text_a": "a", "text_b": "b"}
    assert data.template.text_pair == "{text_b}"
    named = [{"premise": "a", "claim": "b", "gold": n} for n in (0, 1, 1)]
    config = make_config(
        write_jsonl(tmp_path / "named.jsonl", named),
        text_column="premise",
        pair_column="claim",
        label_column="gold",
    )
    assert load_task(config).train.inputs[0] == {"text_a": "a", "text_b": "b"}


def test_a_validation_part_is_split_off_the_same_way_each_time(tmp_path: Path) -> None:
    rows = [{"text": f"text {n}", "label": "rare" if n % 10 == 0 else "often"} for n in range(200)]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    one, other = (load_task(make_config(path, seed=seed)) for seed in (0, 1))
    assert one.validation.inputs == other.validation.inputs
    assert len(one.validation) == 20
    assert len(one.train) == 180
    texts = [fields["text"] for part in (one.train, one.validation) for fields in part.inputs]
    assert sorted(texts) == sorted(row["text"] for row in rows)
    assert 1 <= one.validation.truths.count(one.labels.index("rare")) <= 3


def test_a_file_that_validation_uses_up_is_rejected(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", [{"tokens": ["Rome"], "tags": ["B-LOC"]}])
    (problem,) = problems_of(path, task_type="token_classification")
    assert "no row is left to train on" in problem


def test_a_sample_of_rows_leaves_validation_whole(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(100))
    data = load_task(make_config(path, max_rows=30))
    assert (len(data.train), len(data.validation)) == (30, 10)


def test_all_problems_of_all_files_are_told_with_their_lines(tmp_path: Path) -> None:
    train = tmp_path / "train.jsonl"
    lines: list[Any] = [
        {"text": "good", "label": "good"},
        {"text": "  ", "label": "bad"},
        {"text": "no label"},
        {"label": "bad"},
        {"text": 7, "label": "bad"},
        {"text": "label is a list", "label": ["bad"]},
        {"text": "half \ud83d", "label": "bad"},
        ["a list"],
        {"text": "\u200b\ufeff", "label": "bad"},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines) + "\n{broken\n"
    train.write_text(text, encoding="utf-8")
    validation = write_jsonl(tmp_path / "held-out.jsonl", [{"text": "x", "label": "fine"}])
    problems = problems_of(train, validation=validation)
    places = [problem.split(":")[0] for problem in problems]
    assert sorted(places) == [
        "held-out.jsonl, line 1",
        *(f"train.jsonl, line {number}" for number in (11, 2, 3, 4, 5, 6, 7, 8, 9)),
    ]
    message = "\n".join(problems)
    for part in (
        "an empty text",
        "'label': is missing; give every row a value, or name another column with label_column",
        "only the columns label",
        "found 7",
        "surrogate",
        "is not JSON",
        "the label 'fine' is not one of",
    ):
        assert part in message


def test_csv_rows_of_another_width_are_told_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('text,label\n"two\nlines",a\nx,b,c\n', encoding="utf-8")
    assert problems_of(path) == ["rows.csv, line 4: expected 2 cells as in the header, found 3"]


def test_a_broken_csv_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('text,label\nx,a\n"never closed,b\n', encoding="utf-8")
    assert "is not CSV" in problems_of(path)[0]


@pytest.mark.parametrize("value", [None, "many", "nan", True, [1]])
def test_a_regression_needs_numbers(tmp_path: Path, value: object) -> None:
    rows = [{"text": "a", "label": 1.5}, {"text": "b", "label": value}]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    problems = problems_of(path, problem_type="regression")
    assert len(problems) == 1
    assert "line 2: 'label': expected a number" in problems[0]


@pytest.mark.parametrize(
    ("rows", "problem_type"),
    [
        pytest.param([{"text": "a", "label": "x"}] * 4, "single_label_classification", id="single"),
        pytest.param([{"text": "a", "label": ["x"]}] * 4, "multi_label_classification", id="multi"),
        pytest.param([{"text": "a", "label": 3}] * 4, "regression", id="regression"),
    ],
)
def test_rows_that_all_say_the_same_are_refused(
    tmp_path: Path, rows: list[Any], problem_type: str
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    assert "the same label" in problems_of(path, problem_type=problem_type)[0]


def test_files_of_no_rows_or_another_kind_are_refused(tmp_path: Path) -> None:
    empty, foreign, binary = (
        tmp_path / name for name in ("empty.jsonl", "rows.xlsx", "binary.csv")
    )
    empty.write_text("\n\n", encoding="utf-8")
    foreign.write_bytes(b"PK")
    binary.write_bytes(b"text,label\n\xff\xfe,1\n")
    assert "has no rows" in problems_of(empty)[0]
    assert (
        "expected a file of .jsonl, .json, .csv, .tsv, .parquet, or .conll or .txt for "
        "token_classification, found '.xlsx'" in problems_of(foreign)[0]
    )
    assert "line 2: is not UTF-8 text" in problems_of(binary)[0]
    assert "cannot be read" in problems_of(tmp_path / "nothing.jsonl")[0]


def test_rows_with_the_same_defect_are_told_together(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", [{"text": "", "label": "a"}] * 50)
    with pytest.raises(DataRejected, match=r"1 problem\(s\)") as caught:
        load_task(make_config(path))
    assert "50 rows, the first at lines 1, 2, 3: 'text': expected text" in str(caught.value)


def test_a_column_of_another_name_is_told_once_with_the_setting_that_names_it(
    tmp_path: Path,
) -> None:
    rows = [{"text": f"text {number}", "mood": "good"} for number in range(30)]
    for problem_type in ("single_label_classification", "multi_label_classification", "regression"):
        with pytest.raises(DataRejected) as caught:
            load_task(
                make_config(write_jsonl(tmp_path / "rows.jsonl", rows), problem_type=problem_type)
            )
        assert str(caught.value) == (
            "The data has 1 problem(s):\n"
            "  rows.jsonl: 30 rows, the first at lines 1, 2, 3: 'label': is missing; "
            "give every row a value, or name another column with label_column, "
            "found only the columns text, mood"
        )


def test_whole_numbers_with_a_point_are_labels(tmp_path: Path) -> None:
    rows = [{"text": f"text {number}", "label": float(number % 2)} for number in range(20)]
    data = load_task(make_config(write_jsonl(tmp_path / "rows.jsonl", rows)))
    assert data.labels == ("0", "1")
    assert sorted([*data.train.truths, *data.validation.truths]) == [0] * 10 + [1] * 10
    problems = problems_of(write_jsonl(tmp_path / "rows.jsonl", [{"text": "x", "label": 0.5}]))
    assert "expected a label of 1 to 200 characters, found 0.5" in problems[0]


def test_a_file_for_a_known_task_keeps_the_order_of_its_labels(
    backbone: Backbone, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", [{"text": "x", "label": "a"}])
    known, other = (make_spec(backbone.fingerprint, labels=("b", name)) for name in ("a", "c"))
    assert load_examples(path, known, Columns()).truths == (1,)
    with pytest.raises(DataRejected, match="not one of the task's labels"):
        load_examples(path, other, Columns())


def test_texts_without_labels_can_be_read(backbone: Backbone, tmp_path: Path) -> None:
    spec = make_spec(backbone.fingerprint)
    path = write_jsonl(tmp_path / "rows.jsonl", [{"sentence": "x"}, {"sentence": "y"}])
    assert load_inputs(path, spec, Columns("sentence")) == [{"text": "x"}, {"text": "y"}]
    with pytest.raises(DataRejected, match="only the columns sentence"):
        load_inputs(path, spec, Columns())


def test_more_columns_than_a_task_has_texts_are_refused(backbone: Backbone, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", [{"a": "x", "b": "y"}])
    with pytest.raises(PlanRejected, match="a and b are too many columns: the task takes text"):
        load_inputs(path, make_spec(backbone.fingerprint), Columns("a", "b"))


def test_a_template_makes_texts_of_other_columns(tmp_path: Path) -> None:
    rows = [{"word": "bank", "first": "a", "second": "b", "label": n} for n in (0, 1, 1)]
    config = make_config(
        write_jsonl(tmp_path / "rows.jsonl", rows),
        template="{word}: {first}",
        pair_template="{word}: {second}",
    )
    data = load_task(config)
    assert data.train.inputs[0] == {"word": "bank", "first": "a", "second": "b"}
    assert data.template.render(data.train.inputs[0]) == [("bank: a", "bank: b")]
