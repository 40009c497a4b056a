"""Contention: background processes, the layouts of threads, and what a contender keeps."""

import sys
from pathlib import Path

import pytest

from bench.contenders import Worker
from bench.contention import Case, Contention, Round, busy_processes, kept_speed
from bench.kernels import KernelSettings
from bench.workloads import Workload

WORKLOAD = Workload("short texts", ("a", "b"), ([2, 7, 3], [2, 8, 9, 3]), (0, 1), (0, 0))


def test_a_contender_is_compared_with_itself_on_an_idle_machine() -> None:
    idle, busy = (Case("ours", "1 stream of 2 threads", "load", num) for num in (0, 5))
    other = Case("ours", "2 streams of 1 thread", "load", 0)
    rounds = {
        idle: [Round(100.0, [0.01]), Round(80.0, [0.01])],
        busy: [Round(25.0, [0.04]), Round(40.0, [0.04])],
        other: [Round(1.0, [1.0]), Round(1.0, [1.0])],
    }
    assert kept_speed(rounds, busy) == [0.25, 0.5]


@pytest.mark.parametrize(("num_threads", "streams"), [(1, [1]), (2, [1, 2]), (8, [1, 8])])
def test_the_threads_belong_to_one_stream_or_to_one_each(
    num_threads: int, streams: list[int]
) -> None:
    contention = Contention(Path(), WORKLOAD, 1, num_threads, KernelSettings.plain(Path()))
    assert list(contention.layouts.values()) == streams


def test_background_processes_run_only_within_the_block() -> None:
    with busy_processes(2) as processes:
        assert [process.poll() for process in processes] == [None, None]
    assert all(process.poll() is not None for process in processes)


def test_a_closed_loop_returns_the_latency_of_every_text(backbone_folder: Path) -> None:
    loads = {"busy": {"batch": 2, "callers": 2}, "calm": {"batch": 1, "callers": 1}}
    job = {
        "model": str(backbone_folder),
        "dtype": "float32",
        "threads": 1,
        "kernels": KernelSettings.plain(Path("unused")).job(),
        "seconds": 0.05,
        "prefix_length": 4,
        "num_tasks": 2,
        "tokens": WORKLOAD.tokens,
        "tasks": WORKLOAD.uniform,
        "layouts": {"one": 1},
        "loads": loads,
    }
    with Worker(sys.executable, "contended_packed", num_threads=1) as worker:
        worker.load(job)
        for load, each in loads.items():
            seconds, latencies = worker.run_timed(load, "one")
            assert latencies
            assert len(latencies) % each["batch"] == 0
            assert 0 < max(latencies) <= seconds
