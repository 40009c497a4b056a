"""A worker as the benchmark meets it: a process that speaks JSON lines, and may fail."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.contenders import Facts, Worker, WorkerFailed
from bench.kernels import KernelSettings

WORK = {
    "tokens": [[2, 7, 9, 3], [2, 8, 3], [2, 9, 3]],
    "uniform": [4, 0, 5],
    "zipf": [0, 1, 0],
    "batch": 2,
    "detailed": True,
}


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """Ours, in this very environment; each test loads what it needs."""
    with Worker(sys.executable, "packed", num_threads=1) as running:
        yield running


def job(backbone_folder: Path, **changes: object) -> dict[str, Any]:
    return {
        "model": str(backbone_folder),
        "dtype": "float32",
        "quantize": None,
        "threads": 1,
        "kernels": KernelSettings.plain(backbone_folder / "kernels.json").job(),
        "num_tasks": 6,
        "rank": 2,
        "task_counts": [1, 6],
        "prefix_length": 4,
        "prefix_lengths": [2, 3],
        "num_per_length": 2,
        "workloads": {"few": WORK},
        **changes,
    }


def test_every_contender_answers_all_texts_and_takes_time(
    worker: Worker, backbone_folder: Path
) -> None:
    contenders = worker.load(job(backbone_folder))
    names = {name for _, name in contenders}
    assert names >= {"F.linear layers alone", "no prefix", "1 prefix", "6 prefixes"}
    assert names >= {"6 vectors", "6 vectors of rank 2"}
    for name in names:
        seconds, rows = worker.run("few", name)
        assert rows == 3
        assert seconds > 0


def test_contenders_report_their_kernels_and_operations(
    worker: Worker, backbone_folder: Path
) -> None:
    contenders = worker.load(job(backbone_folder))
    plain = Facts({"linear": "torch", "attention": "torch"}, 0)
    assert contenders["few", "6 prefixes"] == plain
    assert contenders["few", "6 prefixes, plain kernels"] == plain
    bound, fastest = (
        contenders["few", name] for name in ("F.linear layers alone", "fastest linear layers alone")
    )
    assert bound.operations == fastest.operations > 0
    assert set(bound.kernels.values()) == {"F.linear"}
    # Batches of 7 and 3 tokens, which are measured as 8 and 4.
    assert {size.partition(", ")[2] for size in fastest.kernels} == {"8 tokens", "4 tokens"}


def test_a_quantized_backbone_is_compared_with_the_fastest_products_of_codes(
    worker: Worker, backbone_folder: Path
) -> None:
    contenders = worker.load(job(backbone_folder, quantize="int8"))
    assert contenders["few", "6 prefixes, int8"].kernels["linear"] == "int8"
    products = contenders["few", "fastest linear layers alone, int8"]
    assert set(products.kernels.values()) <= {"qlinear_pointwise", "_int_mm"}
    assert worker.run("few", "fastest linear layers alone, int8")[1] == 3


def test_a_worker_that_cannot_do_it_says_why_and_goes_on(
    worker: Worker, backbone_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(WorkerFailed, match="BackboneUnavailable"):
        worker.load(job(tmp_path / "nowhere"))
    assert worker.load(job(backbone_folder))


def test_a_worker_that_dies_leaves_its_last_words() -> None:
    with (
        Worker(sys.executable, "no_such_script", num_threads=1) as dead,
        pytest.raises(WorkerFailed, match=r"exit code 2: .*No such file"),
    ):
        dead.load({})
