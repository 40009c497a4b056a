"""Reads cached results again after a change of PostgreSQL, so that an outage finds them cached.

A change clears all caches, and a tenant that sends few requests would not be served in an outage
that begins before its next one. With SQLite there is no such outage.
"""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from fastapi.concurrency import run_in_threadpool

from prefixes.errors import StoreUnavailable
from prefixes.registry import Database
from server.periodic import repeating

_SECONDS: Final = 2.0
"""Minimum time between two reads, if changes come faster."""

_log = logging.getLogger(__name__)


@asynccontextmanager
async def refreshing(database: Database, *refresh: Callable[[], None]) -> AsyncIterator[None]:
    """Refresh caches of a database now and then while the context lasts."""
    if database.change_number is None:
        yield
        return
    async with repeating(partial(_refresh, database, refresh), seconds=_SECONDS):
        yield


async def _refresh(database: Database, refresh: tuple[Callable[[], None], ...]) -> None:
    if database.outage is not None:
        return
    try:
        for one in refresh:
            await run_in_threadpool(one)
    except StoreUnavailable as error:
        _log.warning("could not refresh cached keys and versions; will try again: %s", error)
