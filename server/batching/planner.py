"""BatchPlanner: takes the works of the next batch from the queue, for a stream or the express lane.

A batch cannot be interrupted. If long batches occupy all streams, a short batch of other tenants
therefore runs next to them, on the express lane. Its works do not join a long batch. A batch of
works at low priority gives way like a long one, however short it is.
"""

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, Self

from server.batching.queue import WorkQueue
from server.batching.scheduler import BatchLimits, Plan, plan
from server.batching.work import BACKGROUND, Work
from server.errors import DeadlineExceeded

_LONG: Final = 512
"""Minimum number of tokens of a long batch. The next batch waits for a shorter one to end."""

_EXPRESS_SHARE: Final = 8
"""A batch of the express lane has at most this part of the tokens of each running batch."""

_SHARED_TOKENS: Final = 1024
"""Maximum number of tokens of a batch next to which the express lane may be used soon.

When a batch of 4,096 short tokens ends, the event loop answers its 200 texts and reads the next
ones, and the next text of another tenant waits for that.
"""

_ACTIVE_SECONDS: Final = 10.0
"""A tenant counts as active for so long after its last work was queued."""


@dataclass(frozen=True, slots=True)
class RunningBatch:
    """The number of tokens of a batch that a stream runs, and the tenants that it mostly serves.

    A tenant with a small part of the batch may use the express lane for its next works.
    """

    num_tokens: int
    tenants: frozenset[str | None]

    @property
    def is_background(self) -> bool:
        return self.tenants == {BACKGROUND}

    @property
    def gives_way(self) -> bool:
        """Whether it runs at a lower priority, and the express lane may be used next to it."""
        return self.is_background or self.num_tokens >= _LONG

    @property
    def max_express_tokens(self) -> float:
        """Maximum number of tokens that the express lane runs next to it."""
        return math.inf if self.is_background else self.num_tokens // _EXPRESS_SHARE

    @classmethod
    def of(cls, batch: Sequence[Work]) -> Self:
        num_tokens = Counter[str | None]()
        for work in batch:
            num_tokens[work.tenant] += work.num_tokens
        total = num_tokens.total()
        most = (name for name, count in num_tokens.items() if count * _EXPRESS_SHARE > total)
        return cls(total, frozenset(most))


class BatchPlanner:
    """The queue, and the rules by which its works become batches. Belongs to the event loop."""

    def __init__(
        self, limits: BatchLimits, num_streams: int, *, has_express_lane: bool = False
    ) -> None:
        self.limits = limits
        self.queue = WorkQueue()
        self._num_streams = num_streams
        self._has_express_lane = has_express_lane
        self._latest: dict[str | None, float] = {}  # the last two tenants with works, and when

    @property
    def has_full_batch(self) -> bool:
        """Whether the queued works fill a batch."""
        queue, limits = self.queue, self.limits
        return queue.num_tokens >= limits.max_tokens or len(queue) >= limits.max_rows

    def take(self, running: Collection[RunningBatch], now: float) -> tuple[Work, ...]:
        """Take the works of the next batch of a stream, and reject late ones.

        A batch has at most one stream's share of all queued and running tokens. If the first free
        stream took everything, the others would soon be idle, and the next requests would find one
        stream busy for a long time. While several tenants are active, batches on a CPU are shorter
        still. Works that fit on the express lane next to the batch stay queued for it.

        Args:
            running: the batches that streams run now.
            now: the event loop's time in seconds.
        """
        num_tokens = self.queue.num_tokens + sum(batch.num_tokens for batch in running)
        share = math.ceil(num_tokens / self._num_streams)
        max_tokens = self._max_tokens(now)
        if self.queue.tenants == {BACKGROUND} and self._num_active(now) > 1:
            share = max(share, _LONG)  # the other streams stay free for requests
        limits = replace(self.limits, max_tokens=min(max_tokens, share))
        planned = plan(self.queue, limits, now)
        excluded = self._express_tenants(planned.batch)
        if excluded:
            planned = plan(self.queue.without(excluded), limits, now)
        self.queue.pop_first(planned.num_seen, without=excluded)
        return self._accept(planned)

    def take_express(self, running: Collection[RunningBatch], now: float) -> tuple[Work, ...]:
        """Take short works of tenants that no running batch mostly serves.

        All streams must run batches that give way. A tenant that was served more than the least
        served one waits for a stream, up to the tokens of a running batch. Otherwise, a tenant that
        floods would get the lane in addition to its share.

        Args:
            running: the batches of all streams, at least one.
            now: the event loop's time in seconds.
        """
        self._note_tenants(now)
        if not all(batch.gives_way for batch in running):
            return ()
        shortest = min(batch.num_tokens for batch in running)
        room = min(batch.max_express_tokens for batch in running)
        limits = replace(self.limits, max_tokens=int(min(room, self.limits.max_tokens)))
        excluded = self.queue.tenants_ahead(shortest).union(*(batch.tenants for batch in running))
        excluded |= {BACKGROUND}
        planned = plan(self.queue.without(excluded), limits, now)
        while num_tokens_of(planned.batch) > limits.max_tokens:  # a text that would run alone
            excluded |= {planned.batch[0].tenant}
            planned = plan(self.queue.without(excluded), limits, now)
        self.queue.pop_first(planned.num_seen, without=excluded)
        return self._accept(planned)

    def _max_tokens(self, now: float) -> int:
        """Return the limit of a stream's batch: a lower one while several tenants are active."""
        self._note_tenants(now)
        is_shared = self._has_express_lane and self._num_active(now) > 1
        return min(self.limits.max_tokens, _SHARED_TOKENS) if is_shared else self.limits.max_tokens

    def _note_tenants(self, now: float) -> None:
        """Note two tenants with queued works. This runs for every request, so it takes no more."""
        for tenant in islice(self.queue.tenants, 2):
            self._latest.pop(tenant, None)
            self._latest[tenant] = now
        for oldest in tuple(self._latest)[:-2]:
            del self._latest[oldest]

    def _num_active(self, now: float) -> int:
        """Count the active tenants, up to two."""
        return sum(at >= now - _ACTIVE_SECONDS for at in self._latest.values())

    def _express_tenants(self, batch: Sequence[Work]) -> frozenset[str | None]:
        """Return the tenants of a planned batch whose works fit on the express lane next to it.

        Empty when the batch is short, or when its small tenants need more than the lane has. A
        tenant with further works is not small: outside of batches it would not get its share.
        """
        planned = RunningBatch.of(batch)
        if not self._has_express_lane or not planned.gives_way:
            return frozenset()
        numbers = Counter(work.tenant for work in batch)
        small = {
            tenant
            for tenant, number in numbers.items()
            if tenant not in planned.tenants and number == self.queue.num_wanted_of(tenant)
        }
        num_tokens = num_tokens_of([work for work in batch if work.tenant in small])
        fits = num_tokens <= planned.max_express_tokens
        return frozenset(small) if fits else frozenset()

    def _accept(self, planned: Plan) -> tuple[Work, ...]:
        """Charge the tenants of a planned batch, and settle the works that were dropped."""
        self.queue.charge(planned.batch)
        late = DeadlineExceeded(
            "The request's time ran out while it was queued. Allow more time, or retry when the "
            "server is less busy."
        )
        settle_all(planned.late + planned.unwanted, late)
        return planned.batch


def num_tokens_of(works: Sequence[Work]) -> int:
    """Return the number of tokens of all works."""
    return sum(work.num_tokens for work in works)


def settle_all(works: Sequence[Work], error: Exception) -> None:
    """Answer works with an error."""
    for work in works:
        work.settle(error)
