"""Unlabeled rows: which are used, how they are described, and which are rejected."""

from pathlib import Path
from typing import Any

import pytest

from tests.training.learnable_tasks import make_config, sentiment_rows, write_csv, write_jsonl
from training.data.loading import load_all
from training.data.parts import load_task
from training.errors import DataRejected
from training.examples import TaskData


def load(tmp_path: Path, unlabeled: list[dict[str, Any]], **changes: Any) -> TaskData:
    rows = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(40))
    path = write_jsonl(tmp_path / "more.jsonl", unlabeled)
    return load_task(make_config(rows, teacher="full", unlabeled=path, **changes))


def test_labels_are_ignored_and_the_summary_names_the_file(tmp_path: Path) -> None:
    data = load(tmp_path, [{"text": "a film", "label": "unheard of"}, {"text": "a river"}])
    assert data.unlabeled is not None
    assert [fields["text"] for fields in data.unlabeled.inputs] == ["a film", "a river"]
    assert data.summary[-1] == "unlabeled: 2 rows of more.jsonl; text from column 'text'"
    assert data.labels == ("bad", "good")


def test_rows_that_figures_are_measured_on_are_left_out(tmp_path: Path) -> None:
    held_out = write_jsonl(tmp_path / "held-out.jsonl", sentiment_rows(4, seed=9))
    texts = [{"text": row["text"].upper()} for row in sentiment_rows(4, seed=9)]
    files = {"validation": held_out, "test": held_out}
    data = load(tmp_path, [*texts, {"text": "a film"}], **files)
    assert data.unlabeled is not None
    assert [fields["text"] for fields in data.unlabeled.inputs] == ["a film"]
    assert data.summary[-1].startswith("unlabeled: 1 of 5 rows of more.jsonl")
    with pytest.raises(DataRejected, match="every row is also a validation or test row"):
        load(tmp_path, texts, **files)


def test_only_as_many_rows_as_the_steps_use_are_read(tmp_path: Path) -> None:
    rows = write_jsonl(tmp_path / "rows.jsonl", sentiment_rows(40))
    more = write_jsonl(tmp_path / "more.jsonl", [{"text": f"film {n}"} for n in range(50)])
    fields: dict[str, Any] = {"teacher": "full", "unlabeled": more, "unlabeled_batch_size": 4}
    few, many = load_all(
        [make_config(rows, **fields, max_steps=3), make_config(rows, **fields, max_steps=99)]
    )
    assert few.unlabeled is not None
    assert many.unlabeled is not None
    assert (len(few.unlabeled), len(many.unlabeled)) == (12, 50)


def test_other_formats_and_columns_are_those_of_the_labeled_rows(tmp_path: Path) -> None:
    rows = [{"words": row["text"], "label": row["label"]} for row in sentiment_rows(40)]
    path = write_csv(tmp_path / "rows.csv", rows)
    more = write_csv(tmp_path / "more.csv", [{"words": "a film"}])
    config = make_config(path, teacher="full", unlabeled=more, text_column="words")
    data = load_task(config)
    assert data.unlabeled is not None
    assert data.unlabeled.inputs[0] == {"text": "a film"}
    assert data.sha256 != load_task(make_config(path, text_column="words")).sha256


def test_problems_name_the_line(tmp_path: Path) -> None:
    with pytest.raises(DataRejected, match=r"more.jsonl.*line 2"):
        load(tmp_path, [{"text": "a film"}, {"text": " "}])
    with pytest.raises(DataRejected, match="text"):
        load(tmp_path, [{"words": "a film"}])
    with pytest.raises(DataRejected):
        load(tmp_path, [])
