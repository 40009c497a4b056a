import json
from pathlib import Path
from typing import Any

import pytest
import torch

from training.errors import TrainingStopped
from training.service import live_comparison, worker


@pytest.fixture
def bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, str]]:
    """The bounds of memory that are set; the folder of a job is the working directory."""
    told: list[tuple[float, str]] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr(
        torch.cuda,
        "set_per_process_memory_fraction",
        lambda share, device: told.append((share, device)),
    )
    return told


def run(monkeypatch: pytest.MonkeyPatch, error: Exception, share: float | None) -> int:
    """Run a job whose training ends with an error."""

    def train(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(live_comparison, "train_and_compare", train)
    facts = {"plan": {"device": "cuda:0"}, "num_threads": 1, "memory_share": share}
    return worker._run({**facts, "has_live": False}, worker.Watcher(Path()))


def test_a_share_of_the_memory_is_set_where_there_is_one(
    bounds: list[tuple[float, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, TrainingStopped("enough"), None) == worker.STOPPED
    assert bounds == []
    run(monkeypatch, TrainingStopped("enough"), 0.25)
    assert bounds == [(0.25, "cuda:0")]


def test_a_training_that_needs_more_memory_than_its_share_says_so(
    bounds: list[tuple[float, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, torch.OutOfMemoryError("CUDA out of memory"), 0.25) == 0
    outcome = json.loads(Path("outcome.json").read_text())
    assert not outcome["is_success"]
    assert "batch_size" in outcome["detail"]
