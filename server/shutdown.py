"""Shutdown: tells requests that wait for their own end that the server is about to end."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Shutdown:
    """Whether this process has begun to stop. Belongs to the event loop."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._timeouts: set[asyncio.Timeout] = set()

    @property
    def has_begun(self) -> bool:
        """Say whether it has."""
        return self._event.is_set()

    async def begin(self) -> None:
        """Wake everything that waits here."""
        self._event.set()
        for timeout in self._timeouts:
            if not timeout.expired():
                timeout.reschedule(asyncio.get_running_loop().time())

    @contextmanager
    def expiring(self, timeout: asyncio.Timeout) -> Iterator[None]:
        """Let an entered timeout expire at once when the server begins to stop."""
        self._timeouts.add(timeout)
        if self.has_begun:
            timeout.reschedule(asyncio.get_running_loop().time())
        try:
            yield
        finally:
            self._timeouts.discard(timeout)

    async def wait(self, seconds: float) -> bool:
        """Wait for at most some seconds; says whether the server has begun to stop."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            pass
        return self.has_begun
