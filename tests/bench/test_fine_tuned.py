"""Fine-tuned models: how many fit into memory, and our process that they are compared with."""

import sys
from pathlib import Path

import pytest

from bench.contenders import Worker
from bench.fine_tuned import available_bytes, fits
from bench.kernels import KernelSettings

GIB = 2**30


@pytest.mark.parametrize(
    ("count", "does_fit"), [(1, True), (8, True), (40, True), (64, False), (1000, False)]
)
def test_models_must_leave_memory_unused(count: int, does_fit: bool) -> None:  # noqa: FBT001
    assert fits(count, model_bytes=GIB // 4, available=16 * GIB) is does_fit


def test_the_available_memory_is_known_in_bytes() -> None:
    assert available_bytes() > 2**26


def test_a_process_of_ours_serves_some_batches_of_every_size(backbone_folder: Path) -> None:
    work = {"tokens": [[2, 7, 3], [2, 8, 9, 3], [2, 9, 3]], "tasks": [5, 0, 1]}
    job = {
        "model": str(backbone_folder),
        "dtype": "float32",
        "threads": 1,
        "kernels": KernelSettings.plain(Path("unused")).job(),
        "prefix_length": 4,
        "num_tasks": 2,
        "batches": [1, 2],
        "max_batches": 2,
        "workloads": {"few": work},
    }
    with Worker(sys.executable, "task_prefixes", num_threads=1) as worker:
        worker.load(job)
        assert [worker.run("few", size)[1] for size in ("1", "2")] == [2, 3]
        assert worker.memory_bytes() > 2**20
