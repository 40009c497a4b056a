"""An open loop: requests at random moments, whether or not the server keeps up."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bench.closed_loop import CONNECTIONS
from bench.figures import Bound, Figure, quantile
from bench.processes import Server
from bench.servers import Sending, Target

_WARM_UP: Final = 5.0
_POLL: Final = 0.5
_FLAT: Final = 1.02
"""Maximum ratio of the memory in the last fifth of an open loop to that in the first."""


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """The length of an open loop, and its rate as a share of the measured capacity."""

    seconds: float
    share: float


def open_loop(group: str, target: Target, rate: float, seconds: float) -> Iterator[Figure]:
    """Send `rate` requests per second; return errors, latencies and the growth of memory."""
    sending = Sending(
        target.plan(rate=rate, seconds=seconds, warm_up=_WARM_UP, connections=CONNECTIONS)
    )
    memory = list(_memory_until_done(sending, target.server))[int(_WARM_UP / _POLL) :]
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
