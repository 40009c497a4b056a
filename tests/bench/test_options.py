"""The selected parts, and the texts of a round for each batch size."""

from pathlib import Path

from bench.kernels import KernelSettings
from bench.options import PARTS, Selection
from bench.throughput import FAMILIES, MAX_BATCHES, Race, job_of
from bench.workloads import Workload


def race(*, has_details: bool) -> Race:
    texts = tuple(map(str, range(100)))
    tokens = tuple([1] * (number % 3 + 1) for number in range(100))
    work = Workload("short texts", texts, tokens, (0,) * 100, (0,) * 100)
    return Race(
        backbone="minilm",
        folder=Path("minilm"),
        dtype="float32",
        workloads=[work],
        families=["packed"],
        batches=[1, 8],
        has_details=has_details,
        rounds=1,
        num_threads=1,
        kernels=KernelSettings.automatic(Path("kernels.json")),
    )


def test_without_names_all_parts_are_selected() -> None:
    everything = Selection.named([])
    assert everything.families == tuple(FAMILIES)
    assert everything.has_details
    assert everything.has_training
    assert everything == Selection.named(PARTS)
    some = Selection.named(["openvino", "packed", "http"])
    assert some.families == ("packed", "openvino")
    assert some.served == frozenset({"http"})
    assert not some.has_details


def test_small_batches_run_fewer_texts() -> None:
    sizes = {cell.batch: len(work.texts) for cell, work in race(has_details=True).cells()}
    assert sizes == {1: MAX_BATCHES, 8: 100}
    work = race(has_details=True).workloads[0]
    assert work.take(5).tokens_per_batch(2) == [3, 4, 2]


def test_only_the_largest_batch_size_has_details() -> None:
    for has_details in (True, False):
        workloads = job_of(race(has_details=has_details), None)["workloads"]
        detailed = {name: work["detailed"] for name, work in workloads.items()}
        assert detailed == {
            "minilm, float32, short texts, batches of 1": False,
            "minilm, float32, short texts, batches of 8": has_details,
        }
