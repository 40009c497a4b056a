"""Admission: how much may wait at once. Belongs to the event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from server.engine.errors import DeadlineExceeded, Overloaded


class Admission:
    """Counts the inputs that were admitted and are not yet answered, and bounds their time."""

    def __init__(self, max_waiting: int, seconds_until_room: Callable[[], int]) -> None:
        """Bound the inputs to `max_waiting`; the callback estimates when to come back."""
        self._max_waiting = max_waiting
        self._seconds_until_room = seconds_until_room
        self._nobody_waits = asyncio.Event()
        self._nobody_waits.set()
        self.num_waiting = 0

    async def until_empty(self) -> None:
        """Wait until all that was admitted is answered."""
        await self._nobody_waits.wait()

    @asynccontextmanager
    async def admit(self, num_inputs: int, timeout_seconds: float) -> AsyncIterator[float]:
        """Count inputs in, all or none, and out again; gives their deadline.

        Raises:
            Overloaded: when there is no room for all of them.
            DeadlineExceeded: when the time runs out inside.
        """
        if self.num_waiting + num_inputs > self._max_waiting:
            raise Overloaded(
                f"{self.num_waiting} inputs are waiting and {num_inputs} more would exceed the "
                f"limit of {self._max_waiting}: come back later, or send fewer at once",
                retry_after_seconds=self._seconds_until_room(),
            )
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        self.num_waiting += num_inputs
        self._nobody_waits.clear()
        try:
            async with asyncio.timeout_at(deadline):
                yield deadline
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"No answer within {timeout_seconds:g} seconds: send fewer inputs at once, allow "
                "more time, or come back when the server is less busy"
            ) from error
        finally:
            self.num_waiting -= num_inputs
            if self.num_waiting == 0:
                self._nobody_waits.set()
