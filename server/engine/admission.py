"""Admission control: bounds the in-flight texts and the time of each request.

Everything here belongs to the engine's event loop.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from server.errors import DeadlineExceeded, Overloaded, TooManyInputs


class AdmittedRequest:
    """A request in flight, and the number of texts that it counts for until it is answered.

    `deadline` is a time of the event loop's clock, in seconds.
    """

    def __init__(
        self, control: "AdmissionControl", num_inputs: int, deadline: float, max_texts: int | None
    ) -> None:
        self._control = control
        self._max_texts = max_texts
        self.num_inputs = num_inputs
        self.num_texts = num_inputs
        self.deadline = deadline

    def grow(self, num_more: int) -> None:
        """Count further texts: an input becomes one text for each choice or window that it has.

        A request that was admitted without `max_texts` is counted but never rejected here.

        Raises:
            TooManyInputs: when the request has more texts than one request may have.
            Overloaded: when the further texts exceed the limit on in-flight texts.
        """
        if self._max_texts is not None and num_more > 0:
            if self.num_texts + num_more > self._max_texts:
                raise TooManyInputs(
                    f"The inputs become {self.num_texts + num_more} texts, because every choice "
                    "and every window of a long context counts as one. One request may have at "
                    f"most {self._max_texts} texts. Send fewer inputs at once, or shorter ones."
                )
            self._control.check_capacity(num_more)
        self.num_texts += num_more
        self._control.num_waiting += num_more


class AdmissionControl:
    """Counts the texts that are admitted and not yet answered."""

    def __init__(self, max_waiting: int, estimate_wait: Callable[[], int]) -> None:
        """Allow `max_waiting` texts; `estimate_wait` returns the seconds after which to retry."""
        self._max_waiting = max_waiting
        self._estimate_wait = estimate_wait
        self._empty = asyncio.Event()
        self._empty.set()
        self.num_waiting = 0

    async def until_empty(self) -> None:
        """Wait until every admitted request is answered."""
        await self._empty.wait()

    def check_capacity(self, num_texts: int) -> None:
        """Raise Overloaded when this many further texts exceed the limit."""
        if self.num_waiting + num_texts > self._max_waiting:
            raise Overloaded(
                f"{self.num_waiting} texts are in flight, and {num_texts} more would exceed the "
                f"limit of {self._max_waiting}. Retry later, or send fewer texts at once.",
                retry_after_seconds=self._estimate_wait(),
            )

    @asynccontextmanager
    async def admit(
        self, num_inputs: int, timeout_seconds: float, *, max_texts: int | None = None
    ) -> AsyncIterator[AdmittedRequest]:
        """Admit all inputs of a request or none of them; on exit, release all of its texts.

        Raises:
            Overloaded: when the inputs exceed the limit on in-flight texts.
            DeadlineExceeded: when the body of the context takes longer than the timeout.
        """
        self.check_capacity(num_inputs)
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        admitted = AdmittedRequest(self, num_inputs, deadline, max_texts)
        self.num_waiting += num_inputs
        self._empty.clear()
        try:
            async with asyncio.timeout_at(deadline):
                yield admitted
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"The request was not answered within {timeout_seconds:g} seconds. Send fewer "
                "inputs at once, allow more time, or retry when the server is less busy."
            ) from error
        finally:
            self.num_waiting -= admitted.num_texts
            if self.num_waiting == 0:
                self._empty.set()
