"""The scheduler: which of the waiting works make the next batch. A pure function of its arguments.

There is no wait timer. A batch forms because the device is busy while works arrive; an idle
device takes whatever is there.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from server.batching.work import Work


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Bounds of one batch. A single work longer than `max_tokens` still goes, alone."""

    max_tokens: int
    max_rows: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The next batch, and works before its end that nobody waits for any more or that are late.

    `num_seen` works leave the queue: those of the batch and those dropped.
    """

    batch: tuple[Work, ...]
    late: tuple[Work, ...]
    unwanted: tuple[Work, ...]

    @property
    def num_seen(self) -> int:
        return len(self.batch) + len(self.late) + len(self.unwanted)


def plan(waiting: Iterable[Work], limits: BatchLimits, now: float) -> Plan:
    """Take works in order until the next would exceed the limits.

    Args:
        waiting: the works, first come first.
        limits: bounds of the batch.
        now: the event loop's time in seconds, to tell late works.
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
