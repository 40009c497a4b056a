"""Retries a change of the database until it is available, so that no job is lost."""

import itertools
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from fastapi.concurrency import run_in_threadpool

from prefixes.errors import StoreUnavailable

_PAUSES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
_LONGEST_PAUSE: Final = 60.0

T = TypeVar("T")

_log = logging.getLogger(__name__)


async def retry_database(call: Callable[[], T], sleep: Callable[[float], Awaitable[None]]) -> T:
    """Call the database on a thread, until it is available."""
    for pause in itertools.chain(_PAUSES, itertools.repeat(_LONGEST_PAUSE)):
        try:
            return await run_in_threadpool(call)
        except StoreUnavailable as error:
            _log.warning("jobs wait for the database: %s", error)
        await sleep(pause)
    raise AssertionError("the pauses are endless")
