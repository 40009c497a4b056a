"""Patience with a database that cannot be used for a while: what was trained is not lost by it."""

import asyncio
import itertools
import logging
from collections.abc import Callable
from typing import Final, TypeVar

from fastapi.concurrency import run_in_threadpool

from prefixes.errors import StoreCorrupted, StoreUnavailable

_PAUSES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Seconds between attempts; from then on they are a minute apart."""
_LONGEST: Final = 60.0

T = TypeVar("T")

_log = logging.getLogger(__name__)


async def patiently(call: Callable[[], T]) -> T:
    """Call what uses the store, on a thread, until the store can be used.

    Raises:
        StoreCorrupted: at once.
    """
    for pause in itertools.chain(_PAUSES, itertools.repeat(_LONGEST)):
        try:
            return await run_in_threadpool(call)
        except StoreCorrupted:  # damaged bytes stay so
            raise
        except StoreUnavailable as error:
            _log.warning("trainings wait for the store: %s", error)
        await asyncio.sleep(pause)
    raise AssertionError("the pauses have no end")
