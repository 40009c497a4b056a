"""Serving: single short texts over HTTP, compared with infinity; and an open loop."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from bench.environments import EnvironmentUnavailable
from bench.figures import Bound, Figure, quantile, speed_ratios
from bench.load import LoadPlan
from bench.processes import Server, ServerFailed
from bench.rounds import alternate
from bench.servers import Sending, Target, body, infinity, ours, send
from bench.stores import Store

CONNECTIONS: Final = 32
INFINITY: Final = "infinity, one model"
APART: Final = ", a front end apart"

_WARM_UP: Final = 0.5
_OPEN_WARM_UP: Final = 5.0
_LARGEST: Final = 4 * CONNECTIONS
"""Number of connections, for larger batches than those of the open loop."""

_POLL: Final = 0.5
_FLAT: Final = 1.02
"""Maximum ratio of the memory in the last fifth of an open loop to that in the first."""


@dataclass(frozen=True, slots=True)
class Serving:
    """One backbone in one precision, and the texts and rounds of its requests."""

    backbone: str
    folder: Path
    dtype: str
    texts: Sequence[str]
    num_threads: int
    rounds: int
    seconds: float

    @property
    def group(self) -> str:
        return f"{self.backbone}, {self.dtype}, over HTTP"

    def serve(self, store: Store, *, num_front_ends: int = 0) -> AbstractContextManager[Target]:
        """Run our server with a store."""
        return ours(
            self.folder,
            store,
            self.texts,
            dtype=self.dtype,
            num_threads=self.num_threads,
            num_front_ends=num_front_ends,
        )

    def touch_plan(self, target: Target, tasks: Sequence[str]) -> LoadPlan:
        """Plan one request to each of some tasks."""
        text = self.texts[0]
        bodies = [body(task, text) for task in tasks]
        return target.plan(bodies, connections=8, count=len(bodies))


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """The length of an open loop, and its rate as a share of the measured capacity."""

    seconds: float
    share: float


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """The result of a closed loop: requests/s, latencies in ms, CPU time per request in ms."""

    rate: float
    p50: float
    p99: float
    cpu: float


def over_http(
    serving: Serving,
    store: Store,
    report: Callable[[str], None],
    *,
    with_infinity: bool,
    open_loop: OpenLoop | None,
) -> Iterator[Figure]:
    """Send requests to our server with a store's tasks, and in turns to infinity with one model."""
    name = f"{len(store.tasks)} tasks"
    targets: dict[str, Target] = {}
    reasons: dict[str, str] = {}
    with ExitStack() as stack:
        report(f"{serving.group}: starting {name}")
        mine = targets[name] = stack.enter_context(serving.serve(store))
        apart = serving.serve(store, num_front_ends=1)
        targets[name + APART] = stack.enter_context(apart)
        for target in targets.values():
            send(serving.touch_plan(target, store.tasks))
        if with_infinity:
            report(f"{serving.group}: starting infinity")
            peer = infinity(
                serving.folder,
                serving.texts,
                dtype=serving.dtype,
                num_threads=serving.num_threads,
            )
            try:
                targets[INFINITY] = stack.enter_context(peer)
            except (EnvironmentUnavailable, ServerFailed) as error:
                reasons[INFINITY] = str(error)
        served, failures = alternate(
            {each: partial(_closed_loop, target, serving) for each, target in targets.items()},
            serving.rounds,
            failure=ServerFailed,
            report=lambda each: report(f"{serving.group}: {each}"),
        )
        yield from _closed_figures(serving.group, name, served, reasons | failures)
        if open_loop is not None and name in served:
            rate = open_loop.share * statistics.median(each.rate for each in served[name])
            report(f"{serving.group}: {rate:.0f} requests/s for {open_loop.seconds:.0f} s")
            # Freed memory is kept for the next batch, so it grows until the largest batch was run.
            send(mine.plan(connections=_LARGEST, seconds=2 * serving.seconds))
            group = f"{serving.group}, {rate:.0f} requests/s in an open loop"
            yield from _open_loop(group, mine, rate, open_loop.seconds)


def _closed_loop(target: Target, serving: Serving) -> ClosedLoop:
    before = target.server.cpu_seconds()
    plan = target.plan(connections=CONNECTIONS, seconds=serving.seconds, warm_up=_WARM_UP)
    load = send(plan)
    cpu = target.server.cpu_seconds() - before
    return ClosedLoop(
        rate=len(load.latencies) / load.seconds,
        p50=1000 * quantile(load.latencies, 0.5),
        p99=1000 * quantile(load.latencies, 0.99),
        cpu=1000 * cpu / load.num_sent,
    )


def _closed_figures(
    group: str, name: str, served: Mapping[str, Sequence[ClosedLoop]], absent: Mapping[str, str]
) -> Iterator[Figure]:
    for each, rounds in served.items():
        yield Figure.of_rounds(group, each, "requests/s", [one.rate for one in rounds])
        yield Figure.of_rounds(group, f"{each}: p50", "ms", [one.p50 for one in rounds])
        yield Figure.of_rounds(group, f"{each}: p99", "ms", [one.p99 for one in rounds])
        yield Figure.of_rounds(group, f"{each}: CPU per request", "ms", [one.cpu for one in rounds])
    for each, reason in absent.items():
        yield Figure.absent(group, each, "requests/s", reason)
    for each in (name, name + APART):
        yield from _with_infinity(group, each, served, absent)


def _with_infinity(
    group: str, name: str, served: Mapping[str, Sequence[ClosedLoop]], absent: Mapping[str, str]
) -> Iterator[Figure]:
    faster, slower = Bound(4), Bound(1, "at most")
    titles = (f"{name} / {INFINITY}: requests/s", f"{name} / {INFINITY}: p99")
    if {name, INFINITY} <= served.keys():
        mine, theirs = served[name], served[INFINITY]
        rates = speed_ratios([1 / one.rate for one in mine], [1 / one.rate for one in theirs])
        yield Figure.of_rounds(group, titles[0], "times", rates, faster)
        tails = [own.p99 / other.p99 for own, other in zip(mine, theirs, strict=True)]
        yield Figure.of_rounds(group, titles[1], "times", tails, slower)
    elif INFINITY in absent:
        for title, bound in zip(titles, (faster, slower), strict=True):
            yield Figure.absent(group, title, "times", absent[INFINITY], bound)


def _open_loop(group: str, target: Target, rate: float, seconds: float) -> Iterator[Figure]:
    sending = Sending(
        target.plan(rate=rate, seconds=seconds, warm_up=_OPEN_WARM_UP, connections=CONNECTIONS)
    )
    memory = list(_memory_until_done(sending, target.server))[int(_OPEN_WARM_UP / _POLL) :]
    load = sending.result()
    num_errors = sum(load.errors.values())
    note = f"{load.errors}" if load.errors else None
    yield Figure(group, "errors", "requests", num_errors, bound=Bound(0, "at most"), note=note)
    if load.latencies:
        p50, p99 = (1000 * quantile(load.latencies, share) for share in (0.5, 0.99))
        yield Figure(group, "p50", "ms", p50)
        yield Figure(group, "p99", "ms", p99)
        yield Figure(group, "p99 / p50", "times", p99 / p50, bound=Bound(4, "at most"))
    fifth = max(1, len(memory) // 5)
    first, last = (statistics.median(part) for part in (memory[:fifth], memory[-fifth:]))
    yield Figure(
        group, "memory, last / first", "times", last / first, bound=Bound(_FLAT, "at most")
    )


def _memory_until_done(sending: Sending, server: Server) -> Iterator[int]:
    while not sending.is_done:
        yield server.memory_bytes()
        time.sleep(_POLL)
    yield server.memory_bytes()
