"""Targets of a regression of any size, and trainings that diverge."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefixes.backbone import Backbone
from tests.training.learnable_tasks import make_config, write_jsonl
from training.data.parts import load_task
from training.data.tokenized import TokenizedRows
from training.errors import DataRejected
from training.learning.learner import describe
from training.learning.run import Run


def rows_of(numbers: list[Any]) -> list[dict[str, Any]]:
    return [{"text": f"text {n}", "label": number} for n, number in enumerate(numbers)]


def test_large_targets_keep_their_differences(backbone: Backbone, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", rows_of([1.7e9 + n for n in range(20)]))
    config = make_config(path, problem_type="regression")
    data = load_task(config)
    rows = TokenizedRows.of(describe(config, data, backbone), data, backbone)
    targets = [piece.target.item() for piece in rows.pieces]
    assert len(set(targets)) == len(targets)
    assert np.mean(targets) == pytest.approx(0, abs=1e-5)
    assert np.std(targets) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "number", [1e25, -1e25, 10**400, float("inf")], ids=["high", "low", "huge", "infinite"]
)
def test_a_target_that_cannot_be_learned_is_refused(tmp_path: Path, number: float) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", rows_of([1, 2, number]))
    with pytest.raises(DataRejected, match=r"line 3.*expected a number of at most"):
        load_task(make_config(path, problem_type="regression"))


def test_outputs_that_are_not_finite_end_a_run_in_one_sentence(
    backbone: Backbone, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", rows_of([float(n) for n in range(20)]))
    config = make_config(path, problem_type="regression")
    run = Run.start(config, load_task(config), backbone)
    run.losses.append(1.0)
    outputs = [[np.array([np.nan], np.float32)] for _ in run.rows.held_out.encoded]
    assert not run.record(outputs)
    assert run.history == []
    assert run.ended is not None
    assert run.ended.startswith("diverged")
