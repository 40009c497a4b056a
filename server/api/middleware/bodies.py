"""Bodies of requests: bounded in size, in speed, and in the memory that each sender may hold.

A JSON body stays in memory until its request is answered, so it counts until then. Tenants share
one budget and callers without a key another, so strangers never keep out a tenant. Files go to disk
as they arrive: they have a size and a speed, and slots of their own (`UploadSlots`).
"""

import asyncio
from dataclasses import dataclass
from typing import Final, Self

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope

from server.api.middleware.budgets import Budget, BudgetExceeded, Reservation
from server.api.middleware.compression import unpacking
from server.api.middleware.networks import network_of
from server.shutdown import Shutdown

_TENANT_BODIES: Final = 48
_ANONYMOUS_BODIES: Final = 16
"""Bodies of the largest size that may be in memory at once; of smaller ones as many more."""
_STEP_BYTES: Final = 16 * 1024
"""What must arrive, or the end of the body, within `stall_seconds` of waiting."""


@dataclass(frozen=True, slots=True)
class BodyBounds:
    """Bounds of a body. `is_in_memory` is False for one that goes to disk as it arrives."""

    max_bytes: int
    max_seconds: float
    stall_seconds: float
    is_in_memory: bool


@dataclass(frozen=True, slots=True, eq=False)
class BodyBudgets:
    """The bytes of bodies in memory, of tenants and of strangers."""

    tenants: Budget
    anonymous: Budget

    @classmethod
    def for_bodies_of(cls, max_bytes: int) -> Self:
        """Share out memory in multiples of the largest body."""
        return cls(Budget(_TENANT_BODIES * max_bytes), Budget(_ANONYMOUS_BODIES * max_bytes))

    def reserve(self, tenant: str | None, scope: Scope) -> Reservation:
        """Begin to hold a body of a tenant, or of the address of a caller without a key."""
        if tenant is not None:
            return self.tenants.reserve(tenant)
        host, _ = scope.get("client") or ("", 0)
        return self.anonymous.reserve(network_of(host))


class IncomingBody:
    """One request's body, received within its bounds.

    A context manager: at its end, the bytes no longer count. `tenant` is whose bytes they are, None
    for a caller without a key: it is set before the first byte is received.
    """

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        bounds: BodyBounds,
        budgets: BodyBudgets,
        shutdown: Shutdown,
    ) -> None:
        self.tenant: str | None = None
        self._scope = scope
        self._receive = receive
        self._bounds = bounds
        self._budgets = budgets
        self._shutdown = shutdown
        self._pace = Pace(bounds)
        self._unpacked = unpacking(scope, self._arriving)
        self._reservation: Reservation | None = None
        self._num_bytes = 0
        self._is_complete = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._reservation is not None:
            self._reservation.__exit__()

    async def receive(self) -> Message:
        """Give the next piece; after the last one, the end of the connection.

        Raises:
            HTTPException: when the body breaks its bounds, or the server stops before its end.
        """
        if self._is_complete:
            return await self._receive()
        message = await self._unpacked()
        self._is_complete = not message.get("more_body", False)
        if body := message.get("body"):
            self._count(len(body))
        return message

    def _count(self, num_bytes: int) -> None:
        self._num_bytes += num_bytes
        if self._num_bytes > self._bounds.max_bytes:
            raise too_large(self._bounds.max_bytes)
        if not self._bounds.is_in_memory:
            return
        if self._reservation is None:
            self._reservation = self._budgets.reserve(self.tenant, self._scope)
        try:
            self._reservation.grow(num_bytes)
        except BudgetExceeded:
            raise _too_many(self.tenant) from None

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
    """How fast a body arrives. Only the time spent waiting for its sender counts."""

    def __init__(self, bounds: BodyBounds) -> None:
        self._bounds = bounds
        self._seconds_left = bounds.max_seconds
        self._step_seconds_left = bounds.stall_seconds
        self._step_bytes = 0
        self._num_bytes = 0

    def deadline(self, now: float) -> float:
        """Give the time until which the next piece must be there."""
        return now + min(self._seconds_left, self._step_seconds_left)

    def note(self, num_bytes: int, seconds: float) -> None:
        """Count a piece that arrived after some seconds.

        Raises:
            HTTPException: when more has arrived than a body may have, packed or not.
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
        """Say what was expected of the sender."""
        bounds = self._bounds
        detail = (
            f"The body arrived too slowly: {self._num_bytes} bytes of it are here. Expected "
            f"{_STEP_BYTES} bytes every {bounds.stall_seconds:g} seconds and the end within "
            f"{bounds.max_seconds:g} seconds. Send it again, without pauses."
        )
        return HTTPException(408, detail, {"Connection": "close"})


def too_large(max_bytes: int) -> HTTPException:
    """Say how large a body may be."""
    # FastAPI passes this class on while it reads a body, and turns every other into a 400.
    detail = f"The body has more than the {max_bytes} bytes that this route takes"
    return HTTPException(413, detail, {"Connection": "close"})


def _too_many(tenant: str | None) -> HTTPException:
    whose = "your address" if tenant is None else f"tenant {tenant}"
    detail = (
        f"The requests of {whose} that are in flight hold as much memory as they may. "
        "Wait for answers, or send smaller requests."
    )
    return HTTPException(429, detail, {"Retry-After": "1", "Connection": "close"})


def _stopped() -> HTTPException:
    detail = "The server is stopping and the body has not arrived: send it again to the next one"
    return HTTPException(503, detail, {"Retry-After": "5", "Connection": "close"})
