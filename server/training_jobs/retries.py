"""Retries parts of a training that fail for a while."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from prefixes.errors import StoreCorrupted, StoreUnavailable
from server.errors import DeadlineExceeded, Overloaded
from server.training_jobs.errors import TrainingFailed

HOUR_OF_PAUSES: Final = (*(2.0**n for n in range(6)), *([60.0] * 60))
"""Seconds between attempts to publish, or to train while the disk is full."""
MINUTE_OF_PAUSES: Final = HOUR_OF_PAUSES[:6]
"""Seconds between attempts to start a job: other jobs are waiting for their turn."""

T = TypeVar("T")

_log = logging.getLogger(__name__)


async def retry(
    attempt: Callable[[], Awaitable[T]],
    pauses: Sequence[float],
    wait: Callable[[float], Awaitable[None]],
) -> T:
    """Retry an attempt that fails while the server, its store or its machine is busy or full.

    Args:
        attempt: called at most once for each of the pauses.
        pauses: seconds after each attempt.
        wait: waits for that long; its exceptions go to the caller.

    Raises:
        TrainingFailed: when no attempt has succeeded.
        StoreCorrupted: at once, since damaged bytes stay damaged.
        FileNotFoundError: at once.
    """
    for pause in pauses:
        try:
            return await attempt()
        except (StoreCorrupted, FileNotFoundError):
            raise
        except (Overloaded, DeadlineExceeded, StoreUnavailable, OSError) as error:
            _log.warning("a training job is retried in %g seconds: %s", pause, error)
            reason = error
        await wait(pause)
    # Errors of the store and the machine contain paths and addresses: only the log shows them.
    is_internal = isinstance(reason, StoreUnavailable | OSError)
    cause = "its store or its machine failed" if is_internal else str(reason)
    detail = (
        f"The server could not complete this training in {len(pauses)} attempts: {cause}. "
        "Start the training again later."
    )
    raise TrainingFailed(503, "training_failed", detail) from reason
