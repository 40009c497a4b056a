"""The draws of `bench.distillation`: labeled and unlabeled rows of a seed, and its settings."""

import argparse
import json
from pathlib import Path

import pytest

from bench.distillation import Draw
from tests.training.learnable_tasks import write_jsonl


@pytest.fixture
def arguments(tmp_path: Path) -> argparse.Namespace:
    folder = tmp_path / "data" / "mood"
    folder.mkdir(parents=True)
    write_jsonl(folder / "train.jsonl", [{"text": f"film {n}", "label": "x"} for n in range(20)])
    (folder / "labels.json").write_text('{"labels": ["x", "y"]}', encoding="utf-8")
    return argparse.Namespace(
        data=tmp_path / "data", rows=6, unlabeled=9, part="development", evaluate_every=5
    )


def read(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_no_row_is_labeled_and_unlabeled(arguments: argparse.Namespace, tmp_path: Path) -> None:
    draw = Draw.of(arguments, "mood", 0, tmp_path)
    labeled, others = read(tmp_path / "train.jsonl"), read(tmp_path / "unlabeled.jsonl")
    assert (len(labeled), len(others)) == (6, 9)
    assert not {row["text"] for row in labeled} & {row["text"] for row in others}
    assert {name for row in others for name in row} == {"text"}
    assert draw.config.test is None
    Draw.of(arguments, "mood", 1, tmp_path)
    assert read(tmp_path / "train.jsonl") != labeled


def test_arms_differ_in_their_settings_alone(arguments: argparse.Namespace, tmp_path: Path) -> None:
    draw = Draw.of(arguments, "mood", 0, tmp_path)
    plain = draw.with_settings("prefix", {})
    taught = draw.with_settings("unlabeled", {"teacher_weight": 0.9})
    assert (plain.teacher, plain.unlabeled_per_step) == (None, 0)
    assert taught.teacher == str(tmp_path / "teacher" / "model")
    assert (taught.teacher_weight, taught.unlabeled_per_step) == (0.9, 32)
    assert draw.with_settings("wide_batch", {}).rows_per_step == 64
