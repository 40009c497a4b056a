"""A worker as the benchmark meets it: a process that speaks JSON lines, and may fail."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.contenders import Worker, WorkerFailed

WORK = {"tokens": [[2, 7, 9, 3], [2, 8, 3], [2, 9, 3]], "uniform": [4, 0, 5], "zipf": [0, 1, 0]}


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """Ours, in this very environment; each test loads what it needs."""
    with Worker(sys.executable, "packed", num_threads=1) as running:
        yield running


def job(backbone_folder: Path) -> dict[str, Any]:
    return {
        "model": str(backbone_folder),
        "dtype": "float32",
        "quantize": None,
        "threads": 1,
        "batch": 2,
        "num_tasks": 6,
        "task_counts": [1, 6],
        "prefix_length": 4,
        "prefix_lengths": [2, 3],
        "num_per_length": 2,
        "workloads": {"few": WORK},
    }


def test_every_contender_answers_all_texts_and_takes_time(
    worker: Worker, backbone_folder: Path
) -> None:
    contenders = worker.load(job(backbone_folder))
    assert {"linear layers alone", "no prefix", "1 prefix", "6 prefixes"} <= set(contenders["few"])
    for name in contenders["few"]:
        seconds, rows = worker.run("few", name)
        assert rows == 3
        assert seconds > 0


def test_a_worker_that_cannot_do_it_says_why_and_goes_on(
    worker: Worker, backbone_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(WorkerFailed, match="BackboneUnavailable"):
        worker.load(job(tmp_path / "nowhere"))
    assert worker.load(job(backbone_folder))["few"]


def test_a_worker_that_dies_leaves_its_last_words() -> None:
    with (
        Worker(sys.executable, "no_such_script", num_threads=1) as dead,
        pytest.raises(WorkerFailed, match=r"exit code 2: .*No such file"),
    ):
        dead.load({})
