"""Serving: the backbone, texts, rounds and kernels of all parts that send requests."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from bench.kernels import KernelSettings
from bench.load import LoadPlan
from bench.servers import Target, body, ours
from bench.stores import Store
from bench.workloads import Workload


@dataclass(frozen=True, slots=True)
class Serving:
    """One backbone in one precision, and the texts, rounds and kernels of its requests."""

    backbone: str
    folder: Path
    dtype: str
    workload: Workload
    num_threads: int
    rounds: int
    seconds: float
    kernels: KernelSettings

    @property
    def texts(self) -> Sequence[str]:
        return self.workload.texts

    @property
    def group(self) -> str:
        return f"{self.backbone}, {self.dtype}, over HTTP"

    def serve(
        self, store: Store, *, num_front_ends: int = 0, kernels: KernelSettings | None = None
    ) -> AbstractContextManager[Target]:
        """Run our server with a store, and with other kernels than those of the run if given."""
        return ours(
            self.folder,
            store,
            self.texts,
            dtype=self.dtype,
            num_threads=self.num_threads,
            num_front_ends=num_front_ends,
            kernels=kernels or self.kernels,
        )

    def touch_plan(self, target: Target, tasks: Sequence[str]) -> LoadPlan:
        """Plan one request to each of some tasks."""
        text = self.texts[0]
        bodies = [body(task, text) for task in tasks]
        return target.plan(bodies, connections=8, count=len(bodies))
