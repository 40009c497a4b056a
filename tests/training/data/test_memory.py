"""How much memory the rows of a task take, by the bytes of their file and by their number."""

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prefixes.backbone import Backbone
from tests.training.learnable_tasks import (
    make_config,
    partner_rows,
    tagged_rows,
    write_csv,
    write_jsonl,
)
from training.data.parts import load_task
from training.data.tokenized import TokenizedRows
from training.errors import DataRejected
from training.files.packed import PackedList
from training.files.row_readers import read_rows
from training.files.rows import MAX_PROBLEMS
from training.learning.learner import describe

BYTES_PER_FILE_BYTE = 8
BYTES_PER_ROW = 300
FIXED = 2**17
"""Bytes per row as in docs/operating-trainings.md, and a constant for modules and batches."""


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def short_rows(count: int) -> list[dict[str, Any]]:
    return [{"text": f"x{n}", "label": n % 2} for n in range(count)]


@pytest.mark.parametrize(
    ("task_type", "name", "rows"),
    [
        ("sequence_classification", "rows.csv", short_rows(4_000)),
        ("token_classification", "rows.jsonl", tagged_rows(1_000)),
        ("embedding", "rows.json", partner_rows(1_500)),
    ],
    ids=["short", "tags", "partners"],
)
def test_memory_is_bounded_by_the_file_and_its_rows(
    traced: None,
    backbone: Backbone,
    tmp_path: Path,
    task_type: str,
    name: str,
    rows: list[dict[str, Any]],
) -> None:
    path = _write(tmp_path / name, rows)
    config = make_config(path, task_type=task_type, max_length=64)
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    data = load_task(config)
    TokenizedRows.of(describe(config, data, backbone), data, backbone)
    _, peak = tracemalloc.get_traced_memory()
    bound = BYTES_PER_FILE_BYTE * path.stat().st_size + BYTES_PER_ROW * len(rows) + FIXED
    assert peak - before < bound


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".csv":
        return write_csv(path, rows)
    if path.suffix == ".jsonl":
        return write_jsonl(path, rows)
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def test_problems_of_a_file_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("x\n" * (MAX_PROBLEMS + 100), encoding="utf-8")
    assert len(read_rows(path).problems) == MAX_PROBLEMS
    write_jsonl(path, [{"text": "", "label": 1}] * (MAX_PROBLEMS + 100))
    with pytest.raises(DataRejected) as caught:
        load_task(make_config(path))
    assert len(caught.value.problems) <= MAX_PROBLEMS


def test_packed_values_come_back_as_they_were() -> None:
    values = [{"text": "x"}, {"text": "\ud800"}, {"choices": ("a", "b")}]
    packed = PackedList(values)
    assert packed == values
    assert packed[1:] == values[1:]
    assert packed[-1] == values[-1]
    assert PackedList(values[:2]) != packed
    with pytest.raises(IndexError):
        packed[3]
