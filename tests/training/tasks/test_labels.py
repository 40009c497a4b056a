"""Labels in cells: several in one, a zero or one for each, and one label in several spellings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from prefixes.backbone import Backbone
from tests.factories import make_spec
from tests.training.learnable_tasks import make_config, write_csv, write_jsonl
from training.data.parts import load_examples, load_task
from training.errors import DataRejected
from training.examples import Columns, TaskData

MULTI = "multi_label_classification"
TOPICS = [["a", "b"], ["a"], [], ["b"], ["c", "a"], ["c"]]


def load_cells(tmp_path: Path, cells: Sequence[Any], **changes: Any) -> TaskData:
    """Read rows of JSON lines whose labels are these cells, each several times."""
    rows = [
        {"text": f"text {n} {m}", "label": cell} for m in range(4) for n, cell in enumerate(cells)
    ]
    return load_task(make_config(write_jsonl(tmp_path / "rows.jsonl", rows), **changes))


def truths_of(data: TaskData) -> set[Any]:
    return {*data.train.truths, *data.validation.truths}


def problems_of(tmp_path: Path, cells: Sequence[Any], **changes: Any) -> str:
    with pytest.raises(DataRejected) as caught:
        load_cells(tmp_path, cells, **changes)
    return str(caught.value)


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(str, id="as pandas writes lists"),
        pytest.param(lambda cell: str(tuple(cell)), id="tuples"),
        pytest.param(lambda cell: "[" + " ".join(map(repr, cell)) + "]", id="as numpy writes them"),
        pytest.param(
            lambda cell: "[" + ",".join(f'"{x}"' for x in cell) + "]", id="JSON in a cell"
        ),
        pytest.param("|".join, id="separated"),
    ],
)
def test_lists_that_are_written_as_text_are_read_as_lists(tmp_path: Path, written: Any) -> None:
    listed = load_cells(tmp_path, TOPICS, problem_type=MULTI)
    data = load_cells(tmp_path, [written(cell) for cell in TOPICS], problem_type=MULTI)
    assert data.labels == listed.labels == ("a", "b", "c")
    assert truths_of(data) == truths_of(listed)


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(list, id="lists"),
        pytest.param(str, id="lists as text"),
        pytest.param(lambda cell: [float(one) for one in cell], id="numbers with a point"),
        pytest.param(lambda cell: "[" + " ".join(f"{one}." for one in cell) + "]", id="numpy's"),
        pytest.param(lambda cell: [bool(one) for one in cell], id="truth values"),
        pytest.param(lambda cell: ",".join(map(str, cell)), id="without brackets"),
    ],
)
def test_a_zero_or_one_for_each_label_needs_the_names_of_the_labels(
    tmp_path: Path, written: Any
) -> None:
    vectors = [[1, 0, 1], [0, 0, 1], [0, 0, 0], [1, 1, 0]]
    cells = [written(vector) for vector in vectors]
    data = load_cells(tmp_path, cells, problem_type=MULTI, labels=("x", "y", "z"))
    assert truths_of(data) == {tuple(map(float, vector)) for vector in vectors}
    assert "name the labels in order with labels" in problems_of(
        tmp_path, cells, problem_type=MULTI
    )
    assert "expected 2 zeros and ones, as the task has labels" in problems_of(
        tmp_path, cells, problem_type=MULTI, labels=("x", "y")
    )


def test_numbers_of_labels_are_names(tmp_path: Path) -> None:
    data = load_cells(tmp_path, [[0, 1], [1], [0], [2, 1]], problem_type=MULTI)
    assert data.labels == ("0", "1", "2")


def test_every_label_may_have_a_column(backbone: Backbone, tmp_path: Path) -> None:
    cells = [("1", "0"), ("true", "False"), ("0", "1.0"), ("1", "1")]
    rows = [
        {"text": f"text {n}", "toxic": cells[n % 4][0], "rude": cells[n % 4][1]} for n in range(16)
    ]
    path = write_csv(tmp_path / "rows.csv", rows)
    data = load_task(make_config(path, label_columns=("toxic", "rude")))
    assert data.labels == ("toxic", "rude")
    assert truths_of(data) == {(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)}
    spec = make_spec(backbone.fingerprint, problem_type=MULTI, labels=data.labels)
    examples = load_examples(path, spec, Columns())
    assert list(examples.truths)[:4] == [(1.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)]


def test_a_column_of_a_label_holds_zeros_and_ones(tmp_path: Path) -> None:
    rows = [{"text": "a", "x": 1, "y": 0}, {"text": "b", "x": "", "y": 1}, {"text": "c", "x": 0}]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    with pytest.raises(DataRejected) as caught:
        load_task(make_config(path, label_columns=("x", "y")))
    assert [str(problem) for problem in caught.value.problems] == [
        "rows.jsonl, line 2: 'x': expected 0 or 1, found ''",
        (
            "rows.jsonl, line 3: 'y': is missing; give every row a value, or name another column "
            "with label_columns, found only the columns text, x"
        ),
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"problem_type": "regression"}, "label_columns apply only to multi_label_classification"),
        ({"label_column": "x"}, "exclude each other"),
        ({"label_columns": ("x",)}, "expected at least two different names"),
        ({"labels": ("x", "z")}, "labels must be the names in label_columns"),
    ],
)
def test_label_columns_that_do_not_go_with_other_settings_are_refused(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValidationError, match=told):
        make_config(tmp_path / "rows.csv", **{"label_columns": ("x", "y"), **changes})


def warning_of(data: TaskData, words: str) -> str:
    (warning,) = [one for one in data.warnings if words in one]
    return warning


@pytest.mark.parametrize("sign", [",", ";", "/"])
def test_labels_of_another_separator_are_told(tmp_path: Path, sign: str) -> None:
    cells = [sign.join(cell) for cell in TOPICS if cell]
    warning = warning_of(load_cells(tmp_path, cells, problem_type=MULTI), "several in one")
    assert warning == (
        f"rows.jsonl: labels that look like several in one: 'a{sign}b' (4), 'c{sign}a' (4): set "
        f"label_separator = {sign!r}"
    )
    single = warning_of(load_cells(tmp_path, cells), "several in one")
    assert "if a row may have several labels, set problem_type = multi_label_clas" in single


def test_rows_that_never_have_several_labels_are_told(tmp_path: Path) -> None:
    told = "rows.jsonl: no row has several labels: "
    joined = load_cells(tmp_path, ["a;b", "c;d", "e"], problem_type=MULTI)
    assert warning_of(joined, "no row").startswith(
        f"{told}2 label(s) contain ';', as 'a;b', while label_separator is '|': set "
        "label_separator = ';'"
    )
    alone = load_cells(tmp_path, ["a", "b"], problem_type=MULTI)
    assert warning_of(alone, "no row").startswith(f"{told}set problem_type = single_label_class")
    several = load_cells(tmp_path, ["a", "a|b"], problem_type=MULTI)
    assert not any("no row has several" in warning for warning in several.warnings)


def test_lists_in_a_column_of_single_labels_are_told(tmp_path: Path) -> None:
    data = load_cells(tmp_path, ["['a', 'b']", "['a']"])
    assert "multi_label_classification; lists in cells are then read as lists" in warning_of(
        data, "several in one"
    )


def test_a_column_of_numbers_is_read_as_one_kind_of_number(tmp_path: Path) -> None:
    data = load_cells(tmp_path, ["1", "1.0", "+1", "0", "0.0", "2.50", "2.5"])
    assert data.labels == ("0", "1", "2.5")
    assert not any("look like one" in warning for warning in data.warnings)
    assert load_cells(tmp_path, ["1.0", "2.0"]).labels == ("1.0", "2.0")
    assert load_cells(tmp_path, ["1", "0"], labels=("0.0", "1.0")).labels == ("0.0", "1.0")


def test_composed_and_decomposed_letters_are_the_same_label(tmp_path: Path) -> None:
    data = load_cells(tmp_path, ["caf\u00e9", "cafe\u0301", "tea"])
    assert data.labels == ("caf\u00e9", "tea")
    given = load_cells(tmp_path, ["caf\u00e9", "tea"], labels=("cafe\u0301", "tea"))
    assert truths_of(given) == {0, 1}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "true"),
        ("0", "False"),
        ("01", "1"),
        ("not spam", "not_spam"),
        ("spam", "Spam"),
        ("spam", "spam\u200b"),
        ("spam", '"spam"'),
        ("\uff21", "a"),
    ],
)
def test_one_label_in_two_spellings_is_told_with_its_rows(
    tmp_path: Path, one: str, other: str
) -> None:
    warning = warning_of(load_cells(tmp_path, [one, one, other, "third"]), "look like one")
    assert warning == (
        f"rows.jsonl: different labels that look like one: {one!r} (8, at lines 1, 2, 5 and 5 "
        f"more), {other!r} (4, at lines 3, 7, 11 and 1 more): spell each label in one way"
    )


def test_labels_that_only_resemble_each_other_are_not_told(tmp_path: Path) -> None:
    data = load_cells(tmp_path, ["A", "A-", "A+", "-1", "1", "10", "C", "C++"])
    assert not any("look like one" in warning for warning in data.warnings)


def test_a_label_in_another_spelling_than_those_given_is_refused_with_the_right_one(
    tmp_path: Path,
) -> None:
    told = problems_of(tmp_path, ["Spam", "ham"], labels=("spam", "ham"))
    assert "the label 'Spam' is not one of the task's labels; did you mean 'spam'?" in told


def test_labels_and_texts_that_were_missing_values_are_told(tmp_path: Path) -> None:
    data = load_cells(tmp_path, ["x", "nan", "y"])
    assert warning_of(data, "labels that look like missing") == (
        "rows.jsonl: labels that look like missing values: 'nan' (4, at lines 2, 5, 8 and 1 more): "
        "correct or remove these rows"
    )
    rows = [{"text": text, "label": n % 2} for n, text in enumerate(["a", "NaN", "b", "None"])]
    texts = load_task(make_config(write_jsonl(tmp_path / "texts.jsonl", rows)))
    assert warning_of(texts, "text that looks") == (
        "texts.jsonl: 2 row(s) have a text that looks like a missing value, at lines 2, 4: "
        "correct or remove these rows"
    )


def test_half_of_a_surrogate_pair_is_not_a_label(tmp_path: Path) -> None:
    assert "'label': expected text, found half of a surrogate" in problems_of(
        tmp_path, ["x", "\ud800"]
    )
