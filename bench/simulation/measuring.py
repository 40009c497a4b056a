"""Measuring: the times of one server on this machine, for the simulation."""

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

import numpy as np

from bench.backbones import make_folder
from bench.contention import busy_processes
from bench.origin import facts
from bench.simulation.engine_times import PREFIX_LENGTH, Engine, load_times
from bench.simulation.fitting import (
    MeasuredLoad,
    fit_batches,
    fit_load,
    fit_loop,
    relative_error,
)
from bench.simulation.routers import RoundRobin
from bench.simulation.sending import Sent, send
from bench.simulation.servers import ReplicaServer, replica_server
from bench.simulation.service_times import BATCH_ROWS, BatchTimes, LoopTimes, ServiceTimes
from bench.simulation.traffic import Popularity, draw_traffic
from bench.stores import Store, make_store
from bench.workloads import make_workloads

_NUM_TEXTS: Final = 400
_NUM_TASKS: Final = 40
_ROUNDS: Final = 8
_SHARES: Final = (0.1, 0.4, 0.7, 0.9, 1.3)
"""Loads at which the CPU time of the event loop is measured, as shares of an estimated capacity.

Above the capacity, batches have many texts. Otherwise the time of a request could not be told from
that of a batch.
"""

_SECONDS: Final = 6.0
_FEW_MIB: Final = 2
"""Memory for prefixes that makes most requests load one."""

_MISS_SHARE: Final = 0.2
"""Load at which loads are measured: high enough for batches to run meanwhile."""

_LOOP_GUESS: Final = 0.002
_RESPONSE_SHARE: Final = 0.5
"""Part of the event loop's time for a request that is assumed to follow its batch."""


@dataclass(frozen=True, slots=True)
class Cores:
    """The core of the measured server, and that of the client."""

    server: int
    client: int

    @classmethod
    def here(cls) -> Self:
        cores = sorted(os.sched_getaffinity(0))
        return cls(cores[0], cores[-1])


@dataclass(frozen=True, slots=True)
class Setting:
    """A backbone with texts by their number of tokens, and a file with its chosen kernels."""

    folder: Path
    texts: Mapping[int, str]
    tokens: Sequence[Sequence[int]]
    kernel_cache: Path

    @classmethod
    def make(cls, scratch: Path) -> Self:
        folder = make_folder("minilm", scratch)
        workload = make_workloads(folder, _NUM_TEXTS, _NUM_TASKS)[0]
        texts = dict(zip(map(len, workload.tokens), workload.texts, strict=True))
        return cls(folder, texts, workload.tokens, scratch / "kernels.json")

    @property
    def lengths(self) -> list[int]:
        return [len(ids) for ids in self.tokens]

    def make_store(self, folder: Path, engine: Engine, num_tasks: int) -> Store:
        """Publish prefixes. A server of the store runs the same kernels as the engine."""
        fingerprint = engine.backbone.fingerprint
        store = make_store(folder, fingerprint, num_tasks=num_tasks, length=PREFIX_LENGTH)
        shutil.copy(self.kernel_cache, store.kernel_cache)
        return store


def measure(scratch: Path, report: Callable[[str], None]) -> ServiceTimes:
    """Measure batches and loads in this process, and the event loop of a real server."""
    cores = Cores.here()
    report("creating the backbone")
    setting = Setting.make(scratch)
    os.sched_setaffinity(0, {cores.server})
    engine = Engine.load(setting.folder, setting.kernel_cache)
    report("running batches")
    with busy_processes(1):  # the next core has a replica, too, and cores share caches and clocks
        measured = list(engine.batches(setting.tokens, _ROUNDS))
    batch = fit_batches(measured)
    report(f"publishing and loading {_NUM_TASKS} prefixes")
    store = setting.make_store(scratch / "store", engine, _NUM_TASKS)
    load = load_times(engine.backbone, store)
    os.sched_setaffinity(0, {cores.client})
    with replica_server(setting.folder, store, core=cores.server, resident_mib=256) as server:
        loads = _Loads(server, setting, batch, report)
        loads.measure()
    per_request, per_batch = fit_loop(loads.totals, batch)
    batch = replace(batch, fixed=batch.fixed + per_batch)
    with replica_server(setting.folder, store, core=cores.server, resident_mib=_FEW_MIB) as server:
        missing = _Loads(server, setting, batch, report)
        missing.measure_misses()
    load = fit_load(missing.totals[0], batch, per_request, load)
    after = _RESPONSE_SHARE * per_request
    return ServiceTimes(
        batch=batch,
        loop=LoopTimes(per_request - after, after, shares_core=True),
        load=load,
        prefix_bytes=store.prefix_bytes,
        lengths=setting.lengths,
        client=loads.client,
        origin={
            **facts(1),
            "backbone": "minilm, float32",
            "batches": len(measured),
            "median relative error of batches": relative_error(measured, batch),
        },
    )


class _Loads:
    """Sends requests to a server at several rates, and collects what they cost."""

    def __init__(
        self,
        server: ReplicaServer,
        setting: Setting,
        batch: BatchTimes,
        report: Callable[[str], None],
    ) -> None:
        tokens = round(BATCH_ROWS * float(np.mean(setting.lengths)))
        device = batch.seconds(BATCH_ROWS, tokens) / BATCH_ROWS
        self._capacity = 1 / (device + _LOOP_GUESS)
        self._server = server
        self._setting = setting
        self._report = report
        self.totals: list[MeasuredLoad] = []
        self.client = 0.0

    def measure(self) -> None:
        self._send(0.5, 2.0)  # loads all prefixes
        idle = self._idle_cpu_per_second()
        for share in _SHARES:
            self._report(f"sending requests at {share:.0%} of an estimated capacity")
            self._measure(share, idle)

    def measure_misses(self) -> None:
        """Send requests of which most load a prefix."""
        self._send(0.1, 2.0)  # the first requests of a server cost more
        idle = self._idle_cpu_per_second()
        self._report("sending requests whose prefixes are not in memory")
        self._measure(_MISS_SHARE, idle, seconds=3 * _SECONDS)

    def _measure(self, share: float, idle: float, seconds: float = _SECONDS) -> None:
        before = self._server.totals()
        sent = self._send(share, seconds)
        used = self._server.totals() - before
        count = len(sent.latencies)
        sizes = map(round, (used.batches, used.rows, used.tokens))
        self.totals.append(
            MeasuredLoad(
                count,
                *sizes,
                cpu=used.cpu - idle * seconds,
                loads=round(used.loads),
                load_seconds=used.load_seconds,
            )
        )
        self.client = sent.cpu / count

    def _send(self, share: float, seconds: float) -> Sent:
        rng = np.random.default_rng(0)
        traffic = draw_traffic(
            Popularity(_NUM_TASKS, 0.0),
            rate=share * self._capacity,
            seconds=seconds,
            lengths=self._setting.lengths,
            rng=rng,
        )
        return send(traffic, self._setting.texts, [self._server], RoundRobin())

    def _idle_cpu_per_second(self, seconds: float = 2.0) -> float:
        before = self._server.totals()
        time.sleep(seconds)
        return (self._server.totals() - before).cpu / seconds
