"""Patience with what cannot be done for a while: no training is lost by it."""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from fastapi.concurrency import run_in_threadpool

from prefixes.errors import StoreCorrupted, StoreUnavailable
from server.errors import DeadlineExceeded, Overloaded
from server.training_jobs.errors import Ended, problem

_PAUSES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Seconds between attempts to reach a database; from then on they are a minute apart."""
_LONGEST: Final = 60.0

T = TypeVar("T")

_log = logging.getLogger(__name__)


async def patiently(call: Callable[[], T]) -> T:
    """Call the database, on a thread, until it can be used."""
    for pause in itertools.chain(_PAUSES, itertools.repeat(_LONGEST)):
        try:
            return await run_in_threadpool(call)
        except StoreUnavailable as error:
            _log.warning("trainings wait for the database: %s", error)
        await asyncio.sleep(pause)
    raise AssertionError("the pauses have no end")


async def persist(
    attempt: Callable[[], Awaitable[T]],
    pauses: Sequence[float],
    wait: Callable[[float], Awaitable[None]],
) -> T:
    """Attempt what the server, its store or its machine may not be able to do for a while.

    Args:
        attempt: made once for each of the pauses, if need be.
        pauses: seconds after each attempt.
        wait: waits for so long; what it raises goes on to the caller.

    Raises:
        Ended: when no attempt has succeeded.
        StoreCorrupted: at once, for damaged bytes stay so.
        FileNotFoundError: at once, too.
    """
    for pause in pauses:
        try:
            return await attempt()
        except (StoreCorrupted, FileNotFoundError):
            raise
        except (Overloaded, DeadlineExceeded, StoreUnavailable, OSError) as error:
            _log.warning("a training goes on later: %s", error)
            reason = error
        await wait(pause)
    # Errors of the store and the machine name paths and addresses: they are for the log alone.
    is_ours = isinstance(reason, StoreUnavailable | OSError)
    detail = (
        f"The server could not go on with it in {len(pauses)} attempts "
        f"({'its store or machine failed' if is_ours else reason}): ask again later"
    )
    raise Ended("failed", problem(503, "training_failed", detail)) from reason
