"""PrefixLoader: reads prefixes from their store and copies them into the pool, on its threads."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final, TypeVar

from torch import Tensor

from prefixes import Prefix
from prefixes.backbone import ResidentPrefix
from server.residency.budget import Allocation
from server.residency.pool import PrefixPool

_NUM_THREADS: Final = 2
_MAX_IN_MEMORY: Final = 2 * _NUM_THREADS
"""Maximum number of prefixes that are in host memory between the store and the device."""

T = TypeVar("T")

Fetch = Callable[[str], Prefix]
"""Reads a prefix by digest on a loader thread. It may raise PrefixError."""

Check = Callable[[str, ResidentPrefix, Tensor], None]
"""Gets a digest, the placed prefix and the pool; raises PrefixError to reject the prefix."""


class PrefixLoader:
    """Loads prefixes into the pool. Belongs to the event loop."""

    def __init__(self, pool: PrefixPool, fetch: Fetch, check: Check | None) -> None:
        self._pool = pool
        self._fetch = fetch
        self._check = check
        self._turns = asyncio.Semaphore(_MAX_IN_MEMORY)
        self._threads = ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="loader")

    def close(self) -> None:
        """Stop the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def load(self, digest: str, staged: Prefix | None) -> tuple[ResidentPrefix, Allocation]:
        """Read a prefix, unless it is staged, and copy it into an allocation of its own.

        A load that must wait for device memory drops the prefix and reads it again later.
        Otherwise the prefixes of many waiting loads would fill the host's memory.

        Raises:
            PrefixError: when the store cannot supply it, or the check rejects it.
            ResidencyBudgetExceeded: when it does not fit next to the pinned prefixes.
        """
        async with self._turns:
            prefix = await self._read(digest, staged)
            footprint = self._pool.footprint_of(prefix)
            allocation = self._pool.allocate(footprint)
            if allocation is not None:
                with self._pool.freed_on_failure(allocation):
                    return await self._place(digest, prefix, allocation, staged), allocation
        del prefix
        allocation = await self._pool.wait_to_allocate(footprint)
        with self._pool.freed_on_failure(allocation):
            async with self._turns:
                prefix = await self._read(digest, staged)
                return await self._place(digest, prefix, allocation, staged), allocation

    async def _read(self, digest: str, staged: Prefix | None) -> Prefix:
        return staged if staged is not None else await self._on_thread(self._fetch, digest)

    async def _place(
        self, digest: str, prefix: Prefix, allocation: Allocation, staged: Prefix | None
    ) -> ResidentPrefix:
        pool = self._pool.tensor
        resident = await self._on_thread(ResidentPrefix.place, prefix, pool, allocation.slots)
        if self._check is not None and staged is None:
            await self._on_thread(self._check, digest, resident, pool)
        return _without_records(resident)

    async def _on_thread(self, call: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *args)


def _without_records(resident: ResidentPrefix) -> ResidentPrefix:
    """Drop what serving never reads: examples and provenance may be larger than the head."""
    records: dict[str, object] = {
        "golden": (),
        "provenance": None,
        "metrics": {},
        "description": "",
    }
    return replace(resident, spec=resident.spec.model_copy(update=records))
