"""Loading a backbone: what the choice of kernels adds, against plain kernels of the same round."""

import sys
from pathlib import Path

import pytest

from bench.contenders import Worker
from bench.kernels import KernelSettings
from bench.loading import CACHED, MEASURED, PLAIN, Loaded, loading_ratios

MIB = 2**20


def test_time_and_memory_are_compared_with_plain_kernels() -> None:
    loads = {
        PLAIN: [Loaded(1.0, 100 * MIB), Loaded(2.0, 100 * MIB)],
        MEASURED: [Loaded(2.5, 102 * MIB), Loaded(3.5, 102 * MIB)],
        CACHED: [Loaded(1.25, 110 * MIB), Loaded(2.25, 110 * MIB)],
    }
    figures = {figure.name: figure for figure in loading_ratios("g", loads)}
    assert figures[f"added by {MEASURED}"].measured == pytest.approx(1.5)
    assert figures[f"added by {MEASURED}"].holds
    assert figures[f"added by {CACHED}"].measured == pytest.approx(0.25)
    assert figures[f"added by {CACHED}"].holds is False
    assert figures[f"memory, {MEASURED} / plain"].holds
    assert figures[f"memory, {CACHED} / plain"].holds is False


def test_a_worker_loads_only_when_it_is_asked_to(backbone_folder: Path) -> None:
    job = {
        "model": str(backbone_folder),
        "dtype": "float32",
        "threads": 1,
        "kernels": KernelSettings.plain(backbone_folder / "kernels.json").job(),
        "tokens": [2, 7, 3],
    }
    with Worker(sys.executable, "loading", num_threads=1) as worker:
        worker.load(job)
        assert worker.run("loading", "load")[1] == 0
        assert worker.run("loading", "pass")[1] == 1
        assert worker.resident_bytes() > 2**24
