"""WorkQueue: the works that wait for the device, in an order that is fair to their tenants.

Each tenant has a counter of the tokens that the device ran for it, divided by the tenant's weight.
The next work is the oldest of the tenant with the lowest counter. This is the virtual token
counter, with weights, of Sheng et al., "Fairness in Serving Large Language Models" (2024).
"""

import heapq
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from itertools import islice

from server.batching.work import Work


class WorkQueue:
    """A queue with a line for each tenant, oldest work first. Belongs to the event loop."""

    def __init__(self) -> None:
        self._lines: dict[str | None, deque[Work]] = {}
        self._counters: dict[str | None, float] = {}
        self._last_counter = 0.0  # of the tenant that was charged last
        self._num_tokens = 0
        self._num_works = 0

    def __len__(self) -> int:
        return self._num_works

    def __iter__(self) -> Iterator[Work]:
        """Yield the works in the order in which the device runs them if no others arrive."""
        return self.without(())

    def without(self, tenants: Collection[str | None]) -> Iterator[Work]:
        """Yield the works of all other tenants, in their order."""
        lines = {name: iter(line) for name, line in self._lines.items() if name not in tenants}
        places = list(lines)
        order = [(self._counters[tenant], place) for place, tenant in enumerate(places)]
        heapq.heapify(order)
        while order:
            counter, place = heapq.heappop(order)
            work = next(lines[places[place]], None)
            if work is not None:
                yield work
                # Works without a caller are dropped, so they do not delay the rest of their line.
                cost = work.cost if work.is_wanted else 0.0
                heapq.heappush(order, (counter + cost, place))

    @property
    def num_tokens(self) -> int:
        """The number of tokens of all queued works."""
        return self._num_tokens

    @property
    def tenants(self) -> Collection[str | None]:
        """The tenants with queued works."""
        return self._lines.keys()

    def num_wanted_of(self, tenant: str | None) -> int:
        """Count the queued works of a tenant whose callers still wait."""
        return sum(work.is_wanted for work in self._lines.get(tenant, ()))

    def tenants_ahead(self, margin: float) -> frozenset[str | None]:
        """Return the tenants with queued works that were served more than the least served one.

        Args:
            margin: how much more, in tokens of a tenant with the weight 1.
        """
        most = self._lowest_counter() + margin
        return frozenset(tenant for tenant in self._lines if self._counters[tenant] > most)

    def add(self, works: Sequence[Work]) -> None:
        """Append works to the lines of their tenants.

        A tenant without queued works does not save up its share: its counter is raised to the
        lowest of the tenants that have some.
        """
        for work in works:
            line = self._lines.get(work.tenant)
            if line is None:
                lowest = self._lowest_counter()
                self._counters[work.tenant] = max(self._counters.get(work.tenant, lowest), lowest)
                line = self._lines[work.tenant] = deque()
            line.append(work)
        self._num_works += len(works)
        self._num_tokens += sum(work.num_tokens for work in works)

    def pop_first(self, count: int, *, without: Collection[str | None] = ()) -> list[Work]:
        """Remove and return the first `count` works, in the order of iteration."""
        taken = list(islice(self.without(without), count))
        for work in taken:
            line = self._lines[work.tenant]
            line.popleft()
            if not line:
                del self._lines[work.tenant]
        self._num_works -= count
        self._num_tokens -= sum(work.num_tokens for work in taken)
        return taken

    def charge(self, works: Sequence[Work]) -> None:
        """Count works that the device runs. Works that are dropped cost their tenant nothing."""
        for work in works:
            self._counters[work.tenant] += work.cost
            self._last_counter = self._counters[work.tenant]
        self._forget_idle_tenants()

    def _lowest_counter(self) -> float:
        counters = (self._counters[tenant] for tenant in self._lines)
        return min(counters, default=self._last_counter)

    def _forget_idle_tenants(self) -> None:
        """Drop the counters that the next `add` would raise anyway, so that they do not pile up."""
        lowest = self._lowest_counter()
        idle = [
            tenant
            for tenant, counter in self._counters.items()
            if tenant not in self._lines and counter <= lowest
        ]
        for tenant in idle:
            del self._counters[tenant]
