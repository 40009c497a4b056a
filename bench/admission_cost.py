"""The CPU time that authorization, limits and fairness add to each request."""

import asyncio
import pickle
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

from bench.figures import Bound, Figure
from prefixes.encoded import EncodedText
from prefixes.limits import Limits
from prefixes.registry import Actor, ApiKeys, LimitStore, open_registry
from server.api.auth import authenticate
from server.api.rate_headers import rate_headers
from server.batching.queue import WorkQueue
from server.batching.work import Work
from server.limits.allowance import Allowance
from server.limits.limiter import RequestLimiter
from server.residency.leases import Lease

_REQUESTS: Final = 5_000
_TENANTS: Final = 16
_BATCH: Final = 32
_NUM_TOKENS: Final = 20
_BY: Final = Actor("bench")
_LIMITS: Final = {
    "requests_per_second": 1e6,
    "tokens_per_second": 1e8,
    "max_in_flight_texts": 1e6,
}
"""Too high to reject anything, so that every step is measured."""

_MILLISECONDS: Final = 1000.0


def admission_cost(rounds: int) -> Iterator[Figure]:
    """Measure requests of one text by tenants whose limits are all set, and whose keys have some.

    Nothing else of a request is measured: neither HTTP nor JSON nor the forward pass.
    """
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        closing(_Requests(Path(folder))) as requests,
    ):
        asyncio.run(requests.run())  # fills the cache of identities
        costs = [asyncio.run(requests.run()) for _ in range(rounds)]
    yield Figure.of_rounds(
        "admission of a request, one process",
        "CPU time of authorization, limits and fairness",
        "ms",
        [_MILLISECONDS * seconds for seconds in costs],
        Bound(0.15, "at most"),
    )


class _Requests:
    """Requests of several tenants in turn, as far as they are admitted and queued."""

    def __init__(self, folder: Path) -> None:
        self._registry = open_registry(folder)
        self._keys = ApiKeys(self._registry.database)
        self._headers = [self._issue(f"tenant-{number}") for number in range(_TENANTS)]
        self._limiter = RequestLimiter()
        self._queue = WorkQueue()

    def close(self) -> None:
        self._registry.close()

    async def run(self) -> float:
        """Return the CPU time of one request, in seconds."""
        for number in range(_BATCH):  # the queue is never empty
            await self._request(number)
        started = time.process_time()
        for number in range(_REQUESTS):
            await self._request(number)
            if len(self._queue) >= 2 * _BATCH:
                self._queue.charge(self._queue.pop_first(_BATCH))
        return (time.process_time() - started) / _REQUESTS

    async def _request(self, number: int) -> None:
        caller = await authenticate(self._headers[number % _TENANTS], self._keys)
        allowance = Allowance.of(caller.identity, Limits())
        # As between a front end and the process of the engine.
        allowance = pickle.loads(pickle.dumps(allowance))  # noqa: S301 - our own
        with self._limiter.admit(allowance, num_texts=1, num_tokens=_NUM_TOKENS) as charge:
            charge.note_tokens(_NUM_TOKENS)
            self._queue.add([_work(caller.tenant, allowance.weight)])
        rate_headers(charge.rates())

    def _issue(self, tenant: str) -> str:
        self._registry.ensure_tenant(tenant)
        issued = self._keys.issue(tenant, "bench", by=_BY)
        limits = LimitStore(self._registry.database)
        changes: Any = _LIMITS
        limits.change_tenant(tenant, {**changes, "weight": 3.0}, by=_BY)
        limits.change_key(tenant, issued.facts.id, changes, by=_BY)
        return f"Bearer {issued.key}"


def _work(tenant: str | None, weight: float) -> Work:
    """Make a work without a prefix, which the queue does not need."""
    lease = cast("Lease", SimpleNamespace(resident=SimpleNamespace(prompt=None)))
    text = EncodedText([0] * _NUM_TOKENS, [0] * _NUM_TOKENS)
    return Work(lease, text, 0.0, 0.0, tenant, weight)
