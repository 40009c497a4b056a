"""Request bodies: limits on their size, their speed, and the memory that each caller may use.

A JSON body stays in memory, and counts, until its request is answered. Callers with a key share one
budget and those without one another, so anonymous callers never block a tenant or an operator.
Files go to disk as they arrive: their size and their speed are limited here, and their number by
`UploadSlots`.
"""

import asyncio
from dataclasses import dataclass
from typing import Final, Self

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope

from prefixes.limits import UNLIMITED
from server.api.middleware.budgets import Budget, BudgetExceeded, Reservation
from server.api.middleware.compression import decompressing
from server.api.middleware.networks import network_of
from server.problems import RETRY_SECONDS
from server.shutdown import Shutdown

_KEYED_BODIES: Final = 48
_ANONYMOUS_BODIES: Final = 16
"""Maximum number of bodies in memory, if each has the largest size. More smaller ones fit."""
FORM_BYTES: Final = 64 * 1024
"""Allowance of a multipart body for all but its file: boundaries, part headers, the alias."""
_STEP_BYTES: Final = 16 * 1024
"""Bytes, or the end of the body, that must arrive within `stall_seconds` of waiting."""


@dataclass(frozen=True, slots=True)
class BodyBounds:
    """Limits of a body. `is_in_memory` is False for a body that goes to disk as it arrives."""

    max_bytes: int
    max_seconds: float
    stall_seconds: float
    is_in_memory: bool


@dataclass(frozen=True, slots=True, eq=False)
class BodyBudgets:
    """Budgets of bytes for bodies in memory: of callers with a key, and of anonymous ones."""

    keyed: Budget
    anonymous: Budget

    @classmethod
    def for_bodies_of(cls, max_bytes: int) -> Self:
        """Size the budgets in multiples of the largest body."""
        return cls(Budget(_KEYED_BODIES * max_bytes), Budget(_ANONYMOUS_BODIES * max_bytes))

    def reserve(self, caller: str | None, scope: Scope) -> Reservation:
        """Reserve memory for a body of a caller, or of the network of an anonymous one."""
        if caller is not None:
            return self.keyed.reserve(caller)
        host, _ = scope.get("client") or ("", 0)
        return self.anonymous.reserve(network_of(host))


class IncomingBody:
    """The body of one request, received within its limits.

    A context manager: when it exits, the bytes no longer count. `caller` is the name of the
    caller, None for an anonymous one. `max_upload_bytes` is the caller's limit on files. Both must
    be set before the first byte is received.
    """

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        bounds: BodyBounds,
        budgets: BodyBudgets,
        shutdown: Shutdown,
    ) -> None:
        self.caller: str | None = None
        self.max_upload_bytes = UNLIMITED
        self._scope = scope
        self._receive = receive
        self._bounds = bounds
        self._budgets = budgets
        self._shutdown = shutdown
        self._pace = Pace(bounds)
        self._decompressed = decompressing(scope, self._arriving)
        self._reservation: Reservation | None = None
        self._num_bytes = 0
        self._is_complete = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._reservation is not None:
            self._reservation.__exit__()

    async def receive(self) -> Message:
        """Receive the next piece. After the last one, receive the end of the connection.

        Raises:
            HTTPException: when the body exceeds a limit, or the server stops before its end.
        """
        if self._is_complete:
            return await self._receive()
        message = await self._decompressed()
        self._is_complete = not message.get("more_body", False)
        if body := message.get("body"):
            self._count(len(body))
        return message

    def _count(self, num_bytes: int) -> None:
        self._num_bytes += num_bytes
        if self._num_bytes > self._bounds.max_bytes:
            raise too_large(self._bounds.max_bytes)
        if not self._bounds.is_in_memory:
            if self._num_bytes > self.max_upload_bytes + FORM_BYTES:
                raise _above_limit(self.max_upload_bytes)
            return
        if self._reservation is None:
            self._reservation = self._budgets.reserve(self.caller, self._scope)
        try:
            self._reservation.grow(num_bytes)
        except BudgetExceeded:
            raise _too_many(self.caller) from None

    async def _arriving(self) -> Message:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout_at(self._pace.deadline(started)) as timeout:
                with self._shutdown.expiring(timeout):
                    message = await self._receive()
        except TimeoutError:
            raise _stopped() if self._shutdown.has_begun else self._pace.too_slow() from None
        self._pace.note(len(message.get("body", b"")), loop.time() - started)
        return message


class Pace:
    """The speed of a body. Only the time spent waiting for the sender counts."""

    def __init__(self, bounds: BodyBounds) -> None:
        self._bounds = bounds
        self._seconds_left = bounds.max_seconds
        self._step_seconds_left = bounds.stall_seconds
        self._step_bytes = 0
        self._num_bytes = 0

    def deadline(self, now: float) -> float:
        """Return the time by which the next piece must arrive."""
        return now + min(self._seconds_left, self._step_seconds_left)

    def note(self, num_bytes: int, seconds: float) -> None:
        """Count a piece that arrived after this time.

        Raises:
            HTTPException: when the body, compressed or not, exceeds its maximum size.
        """
        self._num_bytes += num_bytes
        if self._num_bytes > self._bounds.max_bytes:
            raise too_large(self._bounds.max_bytes)
        self._seconds_left -= seconds
        self._step_seconds_left -= seconds
        self._step_bytes += num_bytes
        if self._step_bytes >= _STEP_BYTES:
            self._step_bytes = 0
            self._step_seconds_left = self._bounds.stall_seconds

    def too_slow(self) -> HTTPException:
        """Return the error for a body that arrives too slowly."""
        bounds = self._bounds
        detail = (
            f"The body arrived too slowly: {self._num_bytes} bytes were received. Expected "
            f"{_STEP_BYTES} bytes every {bounds.stall_seconds:g} seconds and the end within "
            f"{bounds.max_seconds:g} seconds. Send it again without pauses."
        )
        return HTTPException(408, detail, {"Connection": "close"})


def too_large(max_bytes: int) -> HTTPException:
    """Return the error for a body that exceeds its maximum size."""
    # While FastAPI reads a body, it passes this class on and turns any other error into a 400.
    detail = (
        f"The body is larger than {max_bytes} bytes, the limit of this route. Send a smaller one."
    )
    return HTTPException(413, detail, {"Connection": "close"})


def _above_limit(max_bytes: float) -> HTTPException:
    detail = (
        f"The upload is larger than {max_bytes:.0f} bytes, the limit `max_upload_bytes` of your "
        "tenant or your key. Send a smaller one, or ask the operator for more."
    )
    return HTTPException(413, detail, {"Connection": "close"})


def _too_many(caller: str | None) -> HTTPException:
    detail = (
        f"The in-flight requests of {caller or 'your address'} use all the memory that they may. "
        "Wait for their answers, or send smaller requests."
    )
    return HTTPException(429, detail, {"Retry-After": "1", "Connection": "close"})


def _stopped() -> HTTPException:
    detail = "The server is stopping and the body is incomplete. Send the request again later."
    return HTTPException(503, detail, {"Retry-After": str(RETRY_SECONDS), "Connection": "close"})
