"""The validation part that is split off: what belongs together is not parted."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.training.learnable_tasks import make_config, write_jsonl
from training.data.parts import load_task
from training.examples import TaskData


def load(tmp_path: Path, rows: list[dict[str, Any]], **changes: Any) -> TaskData:
    return load_task(make_config(write_jsonl(tmp_path / "rows.jsonl", rows), **changes))


def test_questions_about_one_context_stay_on_one_side(tmp_path: Path) -> None:
    rows = [
        {
            "question": f"what is {n}",
            "context": f"good is film {n // 5}",
            "answers": {"text": ["good"], "answer_start": [0]},
        }
        for n in range(100)
    ]
    data = load(tmp_path, rows, task_type="question_answering", stride=4)
    learned, held_out = (
        {fields["context"] for fields in part.inputs} for part in (data.train, data.validation)
    )
    assert not learned & held_out
    assert len(held_out) == 2
    assert (len(data.train), len(data.validation)) == (90, 10)


def test_rows_of_the_same_input_stay_on_one_side(tmp_path: Path) -> None:
    rows = [{"text": f"text {n // 3}", "label": ("x", "y")[n // 3 % 2]} for n in range(120)]
    data = load(tmp_path, rows)
    learned, held_out = (
        Counter(fields["text"] for fields in part.inputs) for part in (data.train, data.validation)
    )
    assert not learned.keys() & held_out.keys()
    assert set(held_out.values()) == {3}
    assert len(data.validation) == 12
    assert set(data.validation.truths) == {0, 1}


def test_a_text_that_most_rows_have_is_learned_from(tmp_path: Path) -> None:
    rows = [{"text": "ok" if n < 60 else f"text {n}", "label": n % 2} for n in range(100)]
    data = load(tmp_path, rows)
    assert len(data.validation) == 10
    assert {"text": "ok"} not in data.validation.inputs


def test_where_nothing_is_small_enough_the_smallest_is_held_out(tmp_path: Path) -> None:
    rows = [{"text": "many" if n < 6 else "few", "label": n % 2} for n in range(10)]
    data = load(tmp_path, rows)
    assert [fields["text"] for fields in data.validation.inputs] == ["few"] * 4


def test_rows_of_one_context_are_parted_when_there_is_no_other(tmp_path: Path) -> None:
    rows = [
        {
            "question": f"what is {n}",
            "context": "it is good",
            "answers": {"text": ["good"], "answer_start": [6]},
        }
        for n in range(20)
    ]
    data = load(tmp_path, rows, task_type="question_answering", stride=4)
    assert (len(data.train), len(data.validation)) == (18, 2)


@pytest.mark.parametrize("fraction", [0.1, 0.25])
def test_rows_that_are_added_leave_nearly_all_of_the_part_as_it_was(
    tmp_path: Path, fraction: float
) -> None:
    labels = ["often"] * 8 + ["rare", "rarer"]
    rows = [{"text": f"text {n}", "label": labels[n * n % 10]} for n in range(400)]

    def held_out(count: int) -> set[str]:
        data = load(tmp_path, rows[:count], validation_fraction=fraction)
        return {str(fields["text"]) for fields in data.validation.inputs}

    first, with_one, with_all = (held_out(count) for count in (300, 301, 400))
    assert len(first) == 300 * fraction
    assert len(with_one - first) <= 2
    learned_before = {row["text"] for row in rows[:300]} - first
    assert len(with_all & learned_before) <= 3


def test_every_label_is_held_out_in_proportion(tmp_path: Path) -> None:
    labels = [f"label {n % 20}" if n < 200 else "often" for n in range(1000)]
    rows = [{"text": f"text {n}", "label": label} for n, label in enumerate(labels)]
    data = load(tmp_path, rows)
    counts = Counter(data.labels[truth] for truth in data.validation.truths)
    assert counts["often"] == pytest.approx(80, abs=2)
    assert all(counts[f"label {n}"] in {0, 1, 2} for n in range(20))
    assert sum(f"label {n}" in counts for n in range(20)) >= 15


def test_texts_that_differ_by_case_or_spacing_stay_on_one_side(tmp_path: Path) -> None:
    forms = ("a text of {}", "A Text of  {}", " a text OF {}")
    rows = [
        {"text": form.format(n), "label": ("x", "y")[n % 2]} for n in range(40) for form in forms
    ]
    data = load(tmp_path, rows)
    learned, held_out = (
        {str(fields["text"]).split()[-1] for fields in part.inputs}
        for part in (data.train, data.validation)
    )
    assert not learned & held_out
    assert len(data.validation) == 12
