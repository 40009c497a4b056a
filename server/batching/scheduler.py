"""The scheduler: selects the works of the next batch. A pure function of its arguments.

There is no wait timer. Batches form because works arrive while the device is busy. An idle device
takes every queued work that fits.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from server.batching.work import Work


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Limits of one batch. A work of more than `max_tokens` runs alone."""

    max_tokens: int
    max_rows: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The next batch, and the works to drop: late ones, and unwanted ones without a caller.

    The plan covers the first `num_seen` works of the queue.
    """

    batch: tuple[Work, ...]
    late: tuple[Work, ...]
    unwanted: tuple[Work, ...]

    @property
    def num_seen(self) -> int:
        return len(self.batch) + len(self.late) + len(self.unwanted)


def plan(waiting: Iterable[Work], limits: BatchLimits, now: float) -> Plan:
    """Select works in order until the next would exceed the limits.

    Args:
        waiting: the queued works, in the order in which they are to run.
        limits: limits of the batch.
        now: the event loop's time in seconds, which is compared with the deadlines.
    """
    batch: list[Work] = []
    late: list[Work] = []
    unwanted: list[Work] = []
    num_tokens = 0
    for work in waiting:
        if not work.is_wanted:
            unwanted.append(work)
            continue
        if work.deadline <= now:
            late.append(work)
            continue
        is_full = len(batch) == limits.max_rows or num_tokens + work.num_tokens > limits.max_tokens
        if batch and is_full:
            break
        batch.append(work)
        num_tokens += work.num_tokens
    return Plan(tuple(batch), tuple(late), tuple(unwanted))
