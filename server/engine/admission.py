"""AdmissionControl: how much may wait at once. Belongs to the event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from server.errors import DeadlineExceeded, Overloaded, TooManyInputs


class AdmittedRequest:
    """A request that was let in, and what it counts for until it is answered.

    `deadline` is a time of the event loop's clock, in seconds.
    """

    def __init__(
        self, admission: "AdmissionControl", num_texts: int, deadline: float, max_texts: int | None
    ) -> None:
        self._admission = admission
        self._max_texts = max_texts
        self.num_texts = num_texts
        self.deadline = deadline

    def grow(self, more: int) -> None:
        """Count texts beyond one for each input: every choice and every window is one.

        What was let in without a bound is counted, and never refused.

        Raises:
            TooManyInputs: when one request may not have so many.
            Overloaded: when there is no room for them.
        """
        if self._max_texts is not None and more > 0:
            if self.num_texts + more > self._max_texts:
                raise TooManyInputs(
                    f"The inputs become {self.num_texts + more} texts, for each choice and each "
                    f"window of a long context is one: one request takes at most "
                    f"{self._max_texts}, so send fewer inputs at once, or shorter ones"
                )
            self._admission.check_room(more)
        self.num_texts += more
        self._admission.num_waiting += more


class AdmissionControl:
    """Counts the texts that were admitted and are not yet answered, and bounds their time."""

    def __init__(self, max_waiting: int, seconds_until_room: Callable[[], int]) -> None:
        """Bound the texts to `max_waiting`; the callback estimates when to come back."""
        self._max_waiting = max_waiting
        self._seconds_until_room = seconds_until_room
        self._nobody_waits = asyncio.Event()
        self._nobody_waits.set()
        self.num_waiting = 0

    async def until_empty(self) -> None:
        """Wait until all that was admitted is answered."""
        await self._nobody_waits.wait()

    def check_room(self, num_texts: int) -> None:
        """Raise Overloaded when so many texts would be too many."""
        if self.num_waiting + num_texts > self._max_waiting:
            raise Overloaded(
                f"{self.num_waiting} texts are waiting and {num_texts} more would exceed the "
                f"limit of {self._max_waiting}: come back later, or send fewer at once",
                retry_after_seconds=self._seconds_until_room(),
            )

    @asynccontextmanager
    async def admit(
        self, num_inputs: int, timeout_seconds: float, *, max_texts: int | None = None
    ) -> AsyncIterator[AdmittedRequest]:
        """Count inputs in as a text each, all or none, and out again with what they grew to.

        Raises:
            Overloaded: when there is no room for all of them.
            DeadlineExceeded: when the time runs out inside.
        """
        self.check_room(num_inputs)
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        admitted = AdmittedRequest(self, num_inputs, deadline, max_texts)
        self.num_waiting += num_inputs
        self._nobody_waits.clear()
        try:
            async with asyncio.timeout_at(deadline):
                yield admitted
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"No answer within {timeout_seconds:g} seconds: send fewer inputs at once, allow "
                "more time, or come back when the server is less busy"
            ) from error
        finally:
            self.num_waiting -= admitted.num_texts
            if self.num_waiting == 0:
                self._nobody_waits.set()
