from pathlib import Path
from typing import Any

import pytest
import torch

from training.errors import TrainingStopped
from training.service import live_comparison
from training.service.execution import run_job
from training.service.protocol.messages import Failure, Job, JobPlan, parse_outcome
from training.service.protocol.worker import WorkerExitCode
from training.service.reporter import JobReporter


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


def run(monkeypatch: pytest.MonkeyPatch, error: Exception, share: float | None) -> WorkerExitCode:
    """Run a job whose training ends with an error."""

    def train(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(live_comparison, "train_and_compare", train)
    plan = JobPlan(runs=({},), backbone="minilm", device="cuda:0")
    job = Job(plan=plan, memory_share=share, num_threads=1, live_version=None, has_live=False)
    return run_job(job, JobReporter(Path()))


def test_the_share_of_the_memory_is_set_if_the_job_has_one(
    bounds: list[tuple[float, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, TrainingStopped("enough"), None) == WorkerExitCode.STOPPED
    assert bounds == []
    run(monkeypatch, TrainingStopped("enough"), 0.25)
    assert bounds == [(0.25, "cuda:0")]


def test_a_training_that_exceeds_its_memory_share_fails_with_advice(
    bounds: list[tuple[float, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    code = run(monkeypatch, torch.OutOfMemoryError("CUDA out of memory"), 0.25)
    assert code == WorkerExitCode.DONE
    outcome = parse_outcome(Path("outcome.json").read_bytes())
    assert isinstance(outcome, Failure)
    assert "batch_size" in outcome.detail
