"""When a message is sent again, and when it is given up."""

import random
from datetime import timedelta
from typing import Final

from prefixes.registry.deliveries import Attempt

PAUSES: Final = (5, 30, 300, 1800, 7200, 18_000, 36_000, 36_000)
"""Seconds after each failed attempt. After the last pause, one more attempt is made."""
_JITTER: Final = 0.2
"""Messages that failed together are sent again at different times."""
_GONE: Final = 410
"""By the specification, an endpoint that wants no more messages."""


def result_of(status: int | None, reason: str, num_attempts: int) -> Attempt:
    """Decide what follows an attempt.

    Args:
        status: the status of the response; None without one.
        reason: describes the failure.
        num_attempts: the number of attempts so far, with this one.
    """
    if status is not None and 200 <= status < 300:
        return Attempt(status)
    if status == _GONE or num_attempts > len(PAUSES):
        return Attempt(status, reason)
    pause = PAUSES[num_attempts - 1] * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret
    return Attempt(status, reason, timedelta(seconds=pause))
