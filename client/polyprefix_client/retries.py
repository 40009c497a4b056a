"""When a failed call is repeated, and after how long.

Only idempotent calls are repeated: others might take effect twice.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

RETRIED_STATUSES: Final = frozenset({429, 502, 503})
"""The server did nothing. 504 is not among them: the server spent the whole time of the request."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long to retry.

    The wait before a retry is a random number between 0 and a bound (full jitter), so that clients
    that failed together do not return together. The bound doubles with each attempt. `Retry-After`
    of a response is the minimum of the wait.

    Attributes:
        max_attempts: maximum number of attempts, the first one included. 1 disables retries.
        first_wait: bound of the first wait, in seconds.
        max_wait: maximum of the bound, in seconds.
    """

    max_attempts: int = 5
    first_wait: float = 0.25
    max_wait: float = 8.0

    def wait_before(self, retry: int, *, retry_after: float | None = None) -> float:
        """Return the seconds to wait before a retry, of which the first has the number 1."""
        bound = min(self.max_wait, self.first_wait * 2 ** (retry - 1))
        return (retry_after or 0.0) + random.uniform(0.0, bound)  # noqa: S311 - not a secret


class Attempts:
    """The attempts of one call, within one deadline."""

    def __init__(
        self,
        policy: RetryPolicy,
        timeout: float,
        *,
        is_idempotent: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._deadline = clock() + timeout
        self._is_idempotent = is_idempotent
        self._num_failed = 0

    @property
    def seconds_left(self) -> float:
        """The seconds until the deadline. 0 or less after it."""
        return self._deadline - self._clock()

    def wait_after_status(self, status: int, retry_after: float | None) -> float | None:
        """Return the seconds to wait before the next attempt; None if the error is final."""
        if not self._is_idempotent or status not in RETRIED_STATUSES:
            return None
        return self._wait(retry_after)

    def wait_after_failure(self, *, was_sent: bool) -> float | None:
        """Return the seconds to wait after an attempt without a response; None if it was the last.

        A request that was never sent can be repeated in any case.
        """
        if was_sent and not self._is_idempotent:
            return None
        return self._wait(None)

    def _wait(self, retry_after: float | None) -> float | None:
        self._num_failed += 1
        if self._num_failed >= self._policy.max_attempts:
            return None
        wait = self._policy.wait_before(self._num_failed, retry_after=retry_after)
        return wait if wait < self.seconds_left else None
