"""Rows of feedback that correct the training rows."""

from pathlib import Path
from typing import Any

import pytest

from tests.training.learnable_tasks import make_config, write_csv, write_jsonl
from training.data.parts import load_task
from training.errors import DataRejected
from training.examples import TaskData

TRAIN = [
    {"sms": f"text number {number}", "kind": "bad" if number % 2 else "good"}
    for number in range(12)
]
HELD_OUT = [{"sms": "held out", "kind": "bad"}, {"sms": "kept", "kind": "good"}]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Uploaded rows, whose columns have names of their own."""
    return {
        "train": write_csv(tmp_path / "rows.csv", TRAIN),
        "validation": write_csv(tmp_path / "held.csv", HELD_OUT),
    }


def load(files: dict[str, Path], feedback: list[dict[str, Any]], **changes: Any) -> TaskData:
    path = write_jsonl(files["train"].with_name("feedback.jsonl"), feedback)
    columns = {"text_column": "sms", "label_column": "kind"}
    settings = {"validation": files["validation"], **columns, **changes}
    return load_task(make_config(files["train"], feedback=path, **settings))


def by_text(data: TaskData) -> dict[str, str]:
    rows = zip(data.train.inputs, data.train.truths, strict=True)
    return {str(fields["text"]): data.labels[truth] for fields, truth in rows}


def test_feedback_is_added_and_replaces_rows_with_the_same_words(files: dict[str, Path]) -> None:
    feedback = [
        {"text": "Text  NUMBER 0", "label": "bad"},
        {"text": "żółw 🐢", "label": "good"},
    ]
    data = load(files, feedback)
    found = by_text(data)
    assert len(data.train) == len(TRAIN) + 1
    assert "text number 0" not in found
    assert (found["Text  NUMBER 0"], found["żółw 🐢"]) == ("bad", "good")
    assert found["text number 1"] == "bad"
    assert data.summary[0].startswith("train: 13 of 14 rows of rows.csv and feedback.jsonl; ")


def test_of_several_rows_of_feedback_the_last_one_counts(files: dict[str, Path]) -> None:
    feedback = [{"text": "new", "label": label} for label in ("bad", "good", "bad")]
    assert by_text(load(files, feedback))["new"] == "bad"


def test_rows_that_are_held_out_stay_so(files: dict[str, Path]) -> None:
    data = load(files, [{"text": "Held out", "label": "good"}])
    assert "Held out" not in by_text(data)
    assert [data.labels[truth] for truth in data.validation.truths] == ["bad", "good"]


def test_labels_of_feedback_alone_are_learned_unless_labels_are_given(
    files: dict[str, Path],
) -> None:
    feedback = [{"text": "new", "label": "ugly"}]
    data = load(files, feedback)
    assert set(data.labels) == {"bad", "good", "ugly"}
    assert by_text(data)["new"] == "ugly"
    with pytest.raises(DataRejected, match=r"feedback\.jsonl"):
        load(files, feedback, labels=("bad", "good"))


def test_without_validation_rows_a_part_of_both_is_held_out(files: dict[str, Path]) -> None:
    feedback = [{"text": f"new {number}", "label": "bad"} for number in range(28)]
    data = load(files, feedback, validation=None)
    assert (len(data.train), len(data.validation)) == (36, 4)


def test_changed_feedback_is_changed_data(files: dict[str, Path]) -> None:
    digests = {load(files, [{"text": text, "label": "bad"}]).sha256 for text in ("a", "b")}
    assert len(digests) == 2


def test_several_labels_and_entities(tmp_path: Path) -> None:
    rows = [
        {"text": f"text {number}", "label": "a|b" if number % 2 else "b"} for number in range(8)
    ]
    train = write_csv(tmp_path / "rows.csv", rows)
    feedback = write_jsonl(tmp_path / "feedback.jsonl", [{"text": "new", "label": ["a", "c"]}])
    many = load_task(
        make_config(train, feedback=feedback, problem_type="multi_label_classification")
    )
    assert many.labels == ("a", "b", "c")
    assert any((1.0, 0.0, 1.0) in part.truths for part in many.parts.values())
    tagged = [{"tokens": ["Zoë", "lives"], "tags": ["B-name", "O"]} for _ in range(8)]
    entities = [{"start": 0, "end": 3, "label": "place"}]
    data = load_task(
        make_config(
            write_jsonl(tmp_path / "tags.jsonl", tagged),
            feedback=write_jsonl(
                tmp_path / "spans.jsonl", [{"text": "Ulm 🐢", "entities": entities}]
            ),
            task_type="token_classification",
        )
    )
    assert "B-place" in data.labels
    texts = [fields["text"] for part in data.parts.values() for fields in part.inputs]
    assert texts.count("Ulm 🐢") == 1
