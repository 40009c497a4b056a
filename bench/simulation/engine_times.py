"""Times of the engine itself: batches of the runner, and loads of prefixes, on one thread."""

import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from bench.random_prefixes import random_prefix
from bench.simulation.fitting import MeasuredBatch
from bench.simulation.service_times import LoadTimes
from bench.stores import Store, forget_files
from prefixes import Prefix, PrefixRef
from prefixes.backbone import Backbone, EncodedText, ResidentPrefix, load_backbone, pool_of
from prefixes.registry import open_registry
from server.batching.runner import Job, Runner
from server.hosting.memory import keep_freed_memory

PREFIX_LENGTH: Final = 16
_ROWS: Final = (1, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
_NUM_PREFIXES: Final = 200
_NUM_LOADS: Final = 60


@dataclass(frozen=True, slots=True)
class Engine:
    """A backbone on one thread, with resident prefixes, as a replica has it."""

    backbone: Backbone
    runner: Runner
    residents: Sequence[ResidentPrefix]

    @classmethod
    def load(cls, folder: Path, kernel_cache: Path) -> "Engine":
        torch.set_num_threads(1)
        backbone = load_backbone(folder, device="cpu", kernel_cache=kernel_cache)
        keep_freed_memory()
        facts = backbone.fingerprint
        prefixes = [random_prefix(facts, PREFIX_LENGTH, seed) for seed in range(_NUM_PREFIXES)]
        pool, residents = pool_of(backbone, prefixes)
        return cls(backbone, Runner(backbone, pool), residents)

    def batches(self, tokens: Sequence[Sequence[int]], rounds: int) -> Iterator[MeasuredBatch]:
        """Run batches of texts that are drawn from `tokens`, of all sizes in turns.

        With one thread, the CPU time is the time on an idle core, even if other programs run.
        """
        rng = random.Random(0)  # noqa: S311 - a benchmark, no secret
        for number in range(rounds + 1):
            for rows in rng.sample(_ROWS, len(_ROWS)):
                jobs = [self._job(rng.choice(tokens), rng) for _ in range(rows)]
                started = time.thread_time()
                self.runner.run(jobs, None)
                seconds = time.thread_time() - started
                if number:  # the first round warms up
                    yield MeasuredBatch(rows, sum(len(text.token_ids) for text, _ in jobs), seconds)

    def _job(self, ids: Sequence[int], rng: random.Random) -> Job:
        return EncodedText(tuple(ids), (0,) * len(ids)), rng.choice(self.residents)


def load_times(backbone: Backbone, store: Store) -> LoadTimes:
    """Measure loads of prefixes whose files are in the page cache, and on disk."""
    pool = backbone.empty_pool(PREFIX_LENGTH)
    with closing(open_registry(store.folder)) as registry:
        refs = [PrefixRef.parse(f"{store.tenant}/{task}") for task in store.tasks[:_NUM_LOADS]]
        targets = registry.resolve(refs, reader=store.tenant)
        digests = [targets[ref].version_for(None).digest for ref in refs]

        def fetch(digest: str) -> Prefix:
            return Prefix.from_bytes(registry.read(digest), fits=[backbone.fingerprint])

        prefixes = [fetch(digest) for digest in digests]
        cached = _Timed.over(fetch, digests)
        forget_files(store)
        from_disk = _Timed.over(fetch, digests)
    place = _Timed.over(
        lambda prefix: ResidentPrefix.place(prefix, pool, range(PREFIX_LENGTH)), prefixes
    )
    disk = max(0.0, from_disk.wall - cached.wall)
    return LoadTimes(cached.wall, place.wall, cached.cpu, place.cpu, disk)


@dataclass(frozen=True, slots=True)
class _Timed:
    """Median seconds of a call, and median seconds of its CPU time."""

    wall: float
    cpu: float

    @classmethod
    def over(cls, call: Callable[[Any], object], arguments: Sequence[Any]) -> "_Timed":
        walls, cpus = [], []
        for argument in arguments:
            wall, cpu = time.perf_counter(), time.thread_time()
            call(argument)
            walls.append(time.perf_counter() - wall)
            cpus.append(time.thread_time() - cpu)
        return cls(statistics.median(walls), statistics.median(cpus))
