"""Writes what this server counts about canaries, off the path of requests, and reads all counts."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from fastapi.concurrency import run_in_threadpool

from prefixes.errors import StoreUnavailable
from prefixes.registry.canary_counts import CanaryId, StoredCounts
from server.engine.canaries.counts import CanaryCounts
from server.engine.canaries.watch import MAX_CANARIES, CanaryWatch
from server.periodic import repeating

SECONDS_BETWEEN_WRITES: Final = 10.0
"""A process that is killed loses at most the counts of this time."""

_log = logging.getLogger(__name__)


@asynccontextmanager
async def writing(
    watch: CanaryWatch, stored: StoredCounts, *, seconds_between: float = SECONDS_BETWEEN_WRITES
) -> AsyncIterator[None]:
    """Read the counts, then write and read them now and then while the context lasts."""
    await _restore(watch, stored)
    async with repeating(partial(_write, watch, stored), seconds=seconds_between):
        yield


async def _restore(watch: CanaryWatch, stored: StoredCounts) -> None:
    try:
        watch.restore(await run_in_threadpool(_read, stored))
    except StoreUnavailable as error:
        _log.warning("could not read the counts of canaries: %s", error)


def _read(stored: StoredCounts) -> dict[CanaryId, CanaryCounts]:
    texts = stored.newest(MAX_CANARIES)
    return {canary: CanaryCounts.from_json(text) for canary, text in texts.items()}


async def _write(watch: CanaryWatch, stored: StoredCounts) -> None:
    """Add everything to the stored counts. If that fails, the next call includes it."""
    taken = watch.take()
    try:
        if taken:
            await run_in_threadpool(_add, stored, taken)
    except StoreUnavailable as error:
        watch.put_back(taken)
        _log.warning("could not write the counts of canaries; will try again: %s", error)
    else:
        await _restore(watch, stored)


def _add(stored: StoredCounts, taken: Mapping[CanaryId, CanaryCounts]) -> None:
    """Add to the counts of the canaries that have not ended."""

    def merge(canary: CanaryId, before: str | None) -> str:
        total = CanaryCounts() if before is None else CanaryCounts.from_json(before)
        total.add(taken[canary])
        return total.to_json()

    stored.merge(taken, merge)
