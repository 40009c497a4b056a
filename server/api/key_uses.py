"""Writes when keys were last used, once a minute, away from the requests that use them."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi.concurrency import run_in_threadpool

from prefixes.errors import StoreUnavailable
from prefixes.registry.key_uses import SECONDS_BETWEEN_WRITES, KeyUses
from server.periodic import repeating

_log = logging.getLogger(__name__)


@asynccontextmanager
async def writing(
    uses: KeyUses, *, seconds_between: float = SECONDS_BETWEEN_WRITES
) -> AsyncIterator[None]:
    """Write the uses now and then while the context lasts, and at its end."""
    async with repeating(partial(_write, uses), seconds=seconds_between):
        yield


async def _write(uses: KeyUses) -> None:
    try:
        await run_in_threadpool(uses.write)
    except StoreUnavailable as error:
        _log.warning("could not write when keys were last used; will try again: %s", error)
