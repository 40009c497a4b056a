"""Writes usage to the database once a minute and at the end, and removes old rows."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from fastapi.concurrency import run_in_threadpool

from prefixes.errors import StoreUnavailable
from prefixes.registry.usage import UsageLog
from server.periodic import repeating
from server.usage.meter import UsageMeter

SECONDS_BETWEEN_WRITES: Final = 60.0
"""A process that is killed loses at most the usage of this time."""
_ROWS_OF_A_WRITE: Final = 2000
"""Other changes of the database wait for about 20 ms while these are written."""

_log = logging.getLogger(__name__)


@asynccontextmanager
async def writing(
    meter: UsageMeter,
    usage: UsageLog,
    *,
    retention_days: float,
    seconds_between: float = SECONDS_BETWEEN_WRITES,
) -> AsyncIterator[None]:
    """Write usage now and then while the context lasts, and at its end."""
    write = partial(_write, meter, usage, timedelta(days=retention_days))
    async with repeating(write, seconds=seconds_between):
        yield


async def _write(meter: UsageMeter, usage: UsageLog, retention: timedelta) -> None:
    """Write everything. If that fails, the next call includes the remaining rows."""
    rows = meter.take()
    try:
        while rows:
            await run_in_threadpool(usage.add, rows[:_ROWS_OF_A_WRITE])
            rows = rows[_ROWS_OF_A_WRITE:]
        await run_in_threadpool(usage.remove_before, datetime.now(UTC) - retention)
    except StoreUnavailable as error:
        meter.put_back(rows)
        _log.warning("could not write the usage of tenants; will try again: %s", error)
