"""Writes when keys were last used, once a minute, away from the requests that use them."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi.concurrency import run_in_threadpool

from prefixes.errors import StoreUnavailable
from prefixes.registry.key_uses import SECONDS_BETWEEN_WRITES, KeyUses

_log = logging.getLogger(__name__)


@asynccontextmanager
async def writing(
    uses: KeyUses, *, seconds_between: float = SECONDS_BETWEEN_WRITES
) -> AsyncIterator[None]:
    """Write the uses now and then while the context lasts, and at its end."""
    task = asyncio.create_task(_keep_writing(uses, seconds_between))
    try:
        yield
    finally:
        task.cancel()
        await run_in_threadpool(_write, uses)


async def _keep_writing(uses: KeyUses, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        await run_in_threadpool(_write, uses)


def _write(uses: KeyUses) -> None:
    try:
        uses.write()
    except StoreUnavailable as error:
        _log.warning("could not write when keys were last used; will try again: %s", error)
