"""The forward pass that requests share: its CPU time per text, without a server."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.comparisons import OURS
from bench.contenders import Worker
from bench.serving import Serving
from bench.throughput import Race, job_of


@dataclass(frozen=True, slots=True)
class ForwardPass:
    """A worker that runs batches of a server's size on one thread, with prefixes and heads."""

    worker: Worker
    group: str

    def milliseconds_per_text(self) -> float:
        """Run the texts once. On one thread, the time is the CPU time."""
        seconds, rows = self.worker.run(self.group, OURS)
        return 1000 * seconds / rows


@contextmanager
def forward_pass(serving: Serving, batch: int) -> Iterator[ForwardPass]:
    """Load the backbone of a server, for batches of a size that occurs in it.

    Raises:
        WorkerFailed: when it cannot be loaded.
    """
    race = Race(
        backbone=serving.backbone,
        folder=serving.folder,
        dtype=serving.dtype,
        workloads=[serving.workload],
        families=[],
        batches=[batch],
        has_details=False,
        rounds=serving.rounds,
        num_threads=1,
        kernels=serving.kernels,
    )
    ((cell, _),) = race.cells()
    with Worker(sys.executable, "packed", num_threads=1) as worker:
        worker.load(job_of(race, None))
        yield ForwardPass(worker, cell.group)
