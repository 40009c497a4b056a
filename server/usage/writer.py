"""Writes usage to the database once a minute and at the end, and removes old rows."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

from fastapi.concurrency import run_in_threadpool

from prefixes.errors import StoreUnavailable
from prefixes.registry.usage import UsageLog
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
    writer = _Writer(meter, usage, timedelta(days=retention_days))
    stopping = asyncio.Event()
    task = asyncio.create_task(writer.keep_writing(seconds_between, stopping))
    try:
        yield
    finally:
        stopping.set()
        await task


class _Writer:
    def __init__(self, meter: UsageMeter, usage: UsageLog, retention: timedelta) -> None:
        self._meter = meter
        self._usage = usage
        self._retention = retention

    async def keep_writing(self, seconds: float, stopping: asyncio.Event) -> None:
        """Write now and then, and a last time when the server is stopping."""
        is_last = False
        while not is_last:
            is_last = await _is_set_within(stopping, seconds)
            await self._write()

    async def _write(self) -> None:
        """Write everything. If that fails, the next call includes the remaining rows."""
        rows = self._meter.take()
        try:
            while rows:
                await run_in_threadpool(self._usage.add, rows[:_ROWS_OF_A_WRITE])
                rows = rows[_ROWS_OF_A_WRITE:]
            oldest = datetime.now(UTC) - self._retention
            await run_in_threadpool(self._usage.remove_before, oldest)
        except StoreUnavailable as error:
            self._meter.put_back(rows)
            _log.warning("could not write the usage of tenants; will try again: %s", error)


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
