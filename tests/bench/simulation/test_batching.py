"""A simulated replica takes the batches that the scheduler of the server plans."""

from dataclasses import dataclass
from itertools import repeat
from typing import Any, cast

import numpy as np
import pytest

from bench.simulation.events import Events
from bench.simulation.replica import Replica, ReplicaLimits, Request
from bench.simulation.service_times import BatchTimes, ServiceTimes
from server.batching.scheduler import BatchLimits, plan


@dataclass(frozen=True)
class Waiting:
    """The part of a work that the scheduler reads."""

    num_tokens: int
    is_wanted: bool = True
    deadline: float = float("inf")


def planned(lengths: list[int], limits: ReplicaLimits) -> list[int]:
    """The numbers of texts in the batches that the server would run."""
    waiting, sizes = [Waiting(tokens) for tokens in lengths], []
    while waiting:
        works = cast("Any", waiting)
        size = len(plan(works, BatchLimits(limits.max_tokens, limits.max_rows), 0.0).batch)
        sizes.append(size)
        waiting = waiting[size:]
    return sizes


@pytest.mark.parametrize("seed", range(20))
def test_batches_are_those_of_the_scheduler(seed: int) -> None:
    rng = np.random.default_rng(seed)
    limits = ReplicaLimits(
        10, max_tokens=int(rng.integers(50, 400)), max_rows=int(rng.integers(1, 9))
    )
    lengths = rng.integers(1, 200, size=60).tolist()
    ends: dict[float, int] = {}

    def answered(_replica: Replica, _request: Request, at: float) -> None:
        ends[at] = ends.get(at, 0) + 1

    events = Events()
    times = ServiceTimes(BatchTimes(1.0))
    replica = Replica(0, times, limits, events, answered=answered, spread=repeat(1.0))
    replica.device.add(7, 1)
    replica.receive(0.0, Request(0, 7, 1))  # the others wait while it runs
    events.run(0.5)
    for number, tokens in enumerate(lengths, 1):
        replica.receive(0.5, Request(number, 7, tokens))
    events.run(float("inf"))

    assert [ends[at] for at in sorted(ends)] == [1, *planned(lengths, limits)]
    assert replica.num_in_flight == 0
