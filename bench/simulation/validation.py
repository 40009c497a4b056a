"""Validation: two real servers behind a router, and the simulation of the same requests."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from bench.origin import facts
from bench.processes import busy_seconds
from bench.simulation.cluster import Cluster
from bench.simulation.engine_times import Engine
from bench.simulation.measuring import Setting
from bench.simulation.replica import ReplicaLimits
from bench.simulation.results import Estimate
from bench.simulation.routers import ROUTERS
from bench.simulation.sending import send
from bench.simulation.servers import ReplicaServer, replica_server
from bench.simulation.service_times import BATCH_ROWS, LoopTimes, ServiceTimes
from bench.simulation.steady_state import fill
from bench.simulation.traffic import Floats, Popularity, Traffic, draw_traffic

ACCEPTED: Final = 0.15
"""Maximum relative difference between the simulation and reality."""

_NUM_SERVERS: Final = 2
_RESIDENT_MIB: Final = 16
_POPULARITY: Final = Popularity(400, 0.9)
_ROUTER: Final = "affinity"
_WARM_UP: Final = 3.0


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures that are compared. `hits` are the requests that started no load of a prefix.

    `cpu` are the CPU seconds of the servers for each request, `batch_rows` the texts of a batch.
    """

    throughput: float
    hits: float
    p50: float
    p99: float
    cpu: float
    batch_rows: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """One run of real servers, and its simulation. `share` is the part of the capacity in use.

    `client` are the CPU seconds of the client and the router for each request. `others` is the part
    of the cores that other programs used, or other machines on the same processor.
    """

    share: float
    seed: int
    num_requests: int
    client: float
    others: float
    real: Figures
    simulated: Figures


def validate(
    times: ServiceTimes,
    scratch: Path,
    *,
    shares: Sequence[float],
    seeds: int,
    seconds: float,
    report: Callable[[str], None],
) -> Iterator[Comparison]:
    """Run real servers under open-loop traffic, and simulate each run."""
    report(f"publishing {_POPULARITY.num_tasks} prefixes")
    setting = Setting.make(scratch)
    engine = Engine.load(setting.folder, setting.kernel_cache)
    first = setting.make_store(scratch / "store-0", engine, _POPULARITY.num_tasks)
    stores = [first, first.copy(scratch / "store-1")]
    with ExitStack() as stack:
        report("starting two servers")
        cores = sorted(os.sched_getaffinity(0))
        servers = [
            stack.enter_context(
                replica_server(
                    setting.folder, store, core=cores[number], resident_mib=_RESIDENT_MIB
                )
            )
            for number, store in enumerate(stores)
        ]
        _real(_traffic(times, 0.5, 20.0, seed=1000), setting, servers)  # fills their memory
        for seed in range(seeds):
            for share in shares:
                report(f"{share:.0%} of the capacity, run {seed + 1} of {seeds}")
                traffic = _traffic(times, share, seconds, seed)
                measured = _real(traffic, setting, servers)
                client = measured.client / len(traffic)
                simulated = _simulated(traffic, replace(times, client=client), seed)
                others = measured.others / (seconds * len(cores))
                yield Comparison(
                    share, seed, len(traffic), client, others, measured.figures, simulated
                )


def _traffic(times: ServiceTimes, share: float, seconds: float, seed: int) -> Traffic:
    shared = with_client(times)
    return draw_traffic(
        _POPULARITY,
        rate=share * _NUM_SERVERS * shared.capacity(BATCH_ROWS),
        seconds=seconds,
        lengths=times.lengths,
        rng=np.random.default_rng(seed),
    )


def with_client(times: ServiceTimes) -> ServiceTimes:
    """Return the times of servers whose cores also run the client and the router."""
    loop, half = times.loop, times.client / 2
    return replace(
        times, loop=LoopTimes(loop.request + half, loop.response + half, loop.shares_core)
    )


@dataclass(frozen=True, slots=True)
class _Measured:
    """The figures of real servers, and the CPU seconds of the client and of other programs."""

    figures: Figures
    client: float
    others: float


def _real(traffic: Traffic, setting: Setting, servers: Sequence[ReplicaServer]) -> _Measured:
    before, busy = [server.totals() for server in servers], busy_seconds()
    sent = send(traffic, setting.texts, servers, ROUTERS[_ROUTER](0))
    busy = busy_seconds() - busy
    used = [server.totals() - earlier for server, earlier in zip(servers, before, strict=True)]
    work = _Work(*(
        sum(getattr(one, name) for one in used) for name in ("loads", "cpu", "batches")
    ))  # fmt: skip
    others = max(0.0, busy - work.cpu - sent.cpu)
    return _Measured(_figures(traffic, sent.latencies, work), sent.cpu, others)


def _simulated(traffic: Traffic, times: ServiceTimes, seed: int) -> Figures:
    rng = np.random.default_rng(seed)
    limits = ReplicaLimits(_RESIDENT_MIB * 2**20)
    router = ROUTERS[_ROUTER](seed)
    cluster = Cluster(_NUM_SERVERS, with_client(times), limits, router, rng=rng)
    fill(cluster.replicas, _POPULARITY, router, prefix_bytes=times.prefix_bytes, rng=rng)
    run = cluster.run(traffic)
    loads = run.summary().loads * len(traffic)
    loop, load = times.loop.request + times.loop.response, times.load
    cpu = run.busy_seconds.sum() + loop * len(traffic) + (load.store_cpu + load.device_cpu) * loads
    batches = sum(replica.num_batches for replica in cluster.replicas)
    return _figures(traffic, run.latencies, _Work(loads, float(cpu), batches))


@dataclass(frozen=True, slots=True)
class _Work:
    """The work of all servers: loads of prefixes, CPU seconds and batches."""

    loads: float
    cpu: float
    batches: float


def _figures(traffic: Traffic, latencies: Floats, work: _Work) -> Figures:
    counted = traffic.arrivals >= _WARM_UP
    ends = traffic.arrivals[counted] + latencies[counted]
    p50, p99 = np.quantile(latencies[counted], [0.5, 0.99])
    throughput = counted.sum() / (ends.max() - _WARM_UP)
    count = len(traffic)
    return Figures(
        throughput=float(throughput),
        hits=1 - work.loads / count,
        p50=float(p50),
        p99=float(p99),
        cpu=work.cpu / count,
        batch_rows=count / work.batches,
    )


def ratios(comparisons: Sequence[Comparison]) -> dict[float, Mapping[str, Estimate]]:
    """Return simulated over real figures for each share of the capacity, over all its runs."""
    found: dict[float, Mapping[str, Estimate]] = {}
    for share in sorted({one.share for one in comparisons}):
        runs = [
            (asdict(one.real), asdict(one.simulated)) for one in comparisons if one.share == share
        ]
        found[share] = {
            name: Estimate.of([simulated[name] / real[name] for real, simulated in runs])
            for name in runs[0][0]
        }
    return found


def write(path: Path, times: ServiceTimes, comparisons: Sequence[Comparison]) -> None:
    """Write all runs, and the ratios."""
    content = {
        "origin": facts(1),
        "times": times.origin,
        "setup": {
            "servers": _NUM_SERVERS,
            "resident_mib": _RESIDENT_MIB,
            "tasks": _POPULARITY.num_tasks,
            "zipf_exponent": _POPULARITY.exponent,
            "router": _ROUTER,
            "accepted": ACCEPTED,
        },
        "runs": [asdict(one) for one in comparisons],
        "ratios": {
            f"{share:g}": {name: asdict(estimate) for name, estimate in each.items()}
            for share, each in ratios(comparisons).items()
        },
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
