"""Warnings about rows: they name lines, and no row is rejected for them."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from prefixes.backbone import Backbone
from server.command_line.progress_bars import TrainingProgress
from tests.training.learnable_tasks import (
    ROWS_OF,
    make_config,
    sentiment_rows,
    start,
    write_csv,
    write_jsonl,
)
from training.data.parts import load_task


def row_warnings(path: Path, **changes: Any) -> tuple[str, ...]:
    """Give the warnings of the files, without those of a validation part that is small in most."""
    warnings = load_task(make_config(path, **changes)).warnings
    return tuple(one for one in warnings if "validation" not in one)


def rows_of(*texts_and_labels: tuple[str, str]) -> list[dict[str, Any]]:
    """Rows that begin with enough of each label to leave no warning of their own."""
    usual = [(f"text {n}", label) for n in range(4) for label in ("x", "y")]
    return [
        {"text": f"{text} {label}" if (text, label) in usual else text, "label": label}
        for text, label in (*usual, *texts_and_labels)
    ]


def test_rows_without_defects_give_no_warnings(tmp_path: Path) -> None:
    assert row_warnings(write_jsonl(tmp_path / "rows.jsonl", rows_of())) == ()


def test_the_same_input_with_another_label_names_both_rows(tmp_path: Path) -> None:
    rows = rows_of(("same", "x"), ("other", "y"), ("same", "y"))
    assert row_warnings(write_jsonl(tmp_path / "rows.jsonl", rows)) == (
        (
            "rows.jsonl: 1 row is labeled differently from an earlier row with the same input: "
            "line 11 (line 9)"
        ),
    )


def test_repeated_rows_are_counted_and_a_few_named(tmp_path: Path) -> None:
    rows = rows_of(*[("same", "x")] * 6)
    assert row_warnings(write_csv(tmp_path / "rows.csv", rows)) == (
        "rows.csv: 5 row(s) repeat an earlier one, at lines 11, 12, 13 and 2 more",
    )


def test_inputs_that_are_measured_and_learned_are_named_in_both_files(tmp_path: Path) -> None:
    train = write_jsonl(tmp_path / "train.jsonl", rows_of(("a", "x"), ("b", "y")))
    held_out = write_jsonl(
        tmp_path / "held-out.jsonl",
        [{"text": text, "label": "x"} for text in ("new", "b", "a", "a", "b")],
    )
    expected = (
        "held-out.jsonl: 4 rows are also in train.jsonl, of 5: metrics on them show "
        "memorization: line 2 (line 10), line 3 (line 9), line 4 (line 9) and 1 more"
    )
    assert row_warnings(train, validation=held_out) == (expected,)
    clean = write_jsonl(tmp_path / "clean.jsonl", [{"text": "newer", "label": "x"}])
    assert row_warnings(train, validation=clean, test=held_out) == (expected,)


def test_inputs_that_choose_the_best_step_and_are_tested_are_told_once(tmp_path: Path) -> None:
    train = write_jsonl(tmp_path / "train.jsonl", rows_of(("a", "x")))
    held, tested = (
        write_jsonl(tmp_path / name, [{"text": text, "label": "x"} for text in texts])
        for name, texts in (("held.jsonl", ("new", "a")), ("tested.jsonl", ("a", "other", "new")))
    )
    assert row_warnings(train, validation=held, test=tested) == (
        (
            "held.jsonl: 1 row is also in train.jsonl, of 2: metrics on them show "
            "memorization: line 2 (line 9)"
        ),
        (
            "tested.jsonl: 1 row is also in train.jsonl, of 3: metrics on them show "
            "memorization: line 1 (line 9)"
        ),
        (
            "tested.jsonl: 1 row is also in held.jsonl, of 3: metrics on them are biased, because "
            "these rows selected the best step: line 3 (line 1)"
        ),
    )


def test_texts_are_compared_by_their_words(tmp_path: Path) -> None:
    train = write_jsonl(
        tmp_path / "rows.jsonl", rows_of(("A good  film", "x"), ("a Good film ", "y"))
    )
    tested = write_jsonl(tmp_path / "test.jsonl", [{"text": "a good\nfilm", "label": "x"}])
    against, leak = row_warnings(train, test=tested)
    assert "1 row is labeled differently from an earlier row" in against
    assert "test.jsonl: 1 row is also in rows.jsonl" in leak


def test_entities_of_a_text_that_is_spaced_otherwise_are_no_contradiction(tmp_path: Path) -> None:
    rows = [
        {"text": text, "entities": [{"start": start, "end": start + 4, "label": "thing"}]}
        for text, start in (("the film", 4), ("the  film", 5))
    ]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    assert row_warnings(path, task_type="token_classification") == ()


def test_a_small_validation_part_is_told(tmp_path: Path) -> None:
    rows = [{"text": f"text {n}", "label": ("x", "y")[n % 2]} for n in range(200)]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    chance = "the validation part has {} row(s): metrics of fewer than 20 rows are mostly chance"
    assert not any("validation" in one for one in load_task(make_config(path)).warnings)
    small = load_task(make_config(path, validation_fraction=0.05))
    assert small.warnings[-1] == chance.format(10)
    sampled = load_task(make_config(path, max_validation_rows=4))
    assert chance.format(4) in sampled.warnings


def test_labels_that_no_validation_row_has_are_told(tmp_path: Path) -> None:
    rows = [{"text": f"text {n}", "label": f"label {n % 6}"} for n in range(60)]
    train = write_jsonl(tmp_path / "rows.jsonl", rows)
    one = write_jsonl(
        tmp_path / "one.jsonl", [{"text": f"new {n}", "label": "label 2"} for n in range(20)]
    )
    two = write_jsonl(
        tmp_path / "two.jsonl", [{"text": f"new {n}", "label": f"label {n % 2}"} for n in range(20)]
    )
    assert load_task(make_config(train, validation=one)).warnings == (
        (
            "the validation part has only one label, 'label 2': its metrics do not show whether "
            "any other label is learned"
        ),
    )
    assert load_task(make_config(train, validation=two)).warnings == (
        "labels without a validation row: 'label 2', 'label 3', 'label 4' and 1 more",
    )


def test_labels_that_look_alike_and_labels_that_are_rare_are_told(tmp_path: Path) -> None:
    rows = rows_of(("a", "X"), ("b", "X"), ("c", "z"))
    first, second = row_warnings(write_jsonl(tmp_path / "rows.jsonl", rows))
    assert first == (
        "rows.jsonl: different labels that look like one: 'x' (4, at lines 1, 3, 5 and 1 more), "
        "'X' (2, at lines 9, 10): spell each label in one way"
    )
    assert second == "rows.jsonl: labels that occur fewer than 2 times: 'z' (1)"


def test_labels_that_are_given_and_never_occur_are_told(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", rows_of())
    (warning,) = row_warnings(path, labels=("x", "y", "unused"))
    assert "'unused' (0)" in warning


def test_labels_that_are_numbers_or_texts_are_told(tmp_path: Path) -> None:
    rows = [{"text": f"text {n}", "label": n // 2 if n < 20 else n} for n in range(50)]
    first, _ = row_warnings(write_jsonl(tmp_path / "rows.jsonl", rows))
    assert first == (
        "rows.jsonl: 40 labels for 50 rows: is the label column a number "
        "(problem_type = regression) or a text?"
    )
    numbers = row_warnings(tmp_path / "rows.jsonl", problem_type="regression")
    assert not any("is the label column" in warning for warning in numbers)


def skewed_rows() -> list[dict[str, Any]]:
    return [{"text": f"text {n}", "label": "rare" if n % 23 == 0 else "often"} for n in range(46)]


def test_a_skew_is_told_unless_something_was_done_about_it(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", skewed_rows())
    assert row_warnings(path) == (
        (
            "rows.jsonl: the label 'rare' occurs 2 time(s), 'often' 44 times: consider "
            "class_weights = balanced, or more rows of what is rare"
        ),
    )
    assert row_warnings(path, class_weights="balanced") == ()


@pytest.mark.parametrize(
    "task_type", ["multiple_choice", "token_classification", "question_answering"]
)
def test_every_type_of_task_tells_of_repeated_rows(tmp_path: Path, task_type: str) -> None:
    rows = ROWS_OF[task_type](1) * 3 + ROWS_OF[task_type](12)[1:]
    warnings = row_warnings(write_jsonl(tmp_path / "rows.jsonl", rows), task_type=task_type)
    assert any("repeat an earlier one, at lines 2, 3" in warning for warning in warnings)


def test_a_text_of_an_embedding_may_belong_with_several(tmp_path: Path) -> None:
    rows = [{"text": "same", "positive": f"other {n}"} for n in range(4)]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    assert row_warnings(path, task_type="embedding") == ()


def test_answers_contradict_each_other_only_where_they_share_none(tmp_path: Path) -> None:
    def row(*answers: tuple[str, int]) -> dict[str, Any]:
        texts, starts = [text for text, _ in answers], [start for _, start in answers]
        answer = {"text": texts, "answer_start": starts}
        return {"question": "what", "context": "good and bad", "answers": answer}

    rows = [row(("good", 0), ("bad", 9)), row(("bad", 9)), row()]
    warnings = row_warnings(
        write_jsonl(tmp_path / "rows.jsonl", rows), task_type="question_answering", stride=4
    )
    assert warnings == (
        (
            "rows.jsonl: 1 row is labeled differently from an earlier row with the same input: "
            "line 3 (line 1)"
        ),
    )


def test_warnings_are_given_once_before_training_with_texts_that_are_cut_off(
    backbone: Backbone, tmp_path: Path
) -> None:
    rows = [*sentiment_rows(30), *({"text": "good " * 60, "label": "good"} for _ in range(2))]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    runs = [
        start(backbone, make_config(path, validation=path, variant=str(seed), seed=seed))
        for seed in (0, 1)
    ]
    printed = io.StringIO()
    with TrainingProgress(Console(file=printed, width=40)) as progress:
        progress.show(runs)
        progress.show(runs)
    lines = [line for line in printed.getvalue().splitlines() if line]
    assert lines == [*runs[0].rows.data.summary, *runs[0].warnings]
    assert lines[-1] == "2 of 32 training inputs (6.2%) are cut off at max_length 32"
