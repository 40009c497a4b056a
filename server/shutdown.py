"""Shutdown: ends event streams and incomplete requests when this process begins to stop."""

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
        """Return whether `begin` was called."""
        return self._event.is_set()

    async def begin(self) -> None:
        """Wake all that `wait`, and expire the timeouts that were registered."""
        self._event.set()
        for timeout in self._timeouts:
            if not timeout.expired():
                timeout.reschedule(asyncio.get_running_loop().time())

    @contextmanager
    def expiring(self, timeout: asyncio.Timeout) -> Iterator[None]:
        """Expire an entered timeout as soon as the shutdown begins."""
        self._timeouts.add(timeout)
        if self.has_begun:
            timeout.reschedule(asyncio.get_running_loop().time())
        try:
            yield
        finally:
            self._timeouts.discard(timeout)

    async def wait(self, seconds: float) -> bool:
        """Wait for the shutdown, for at most this time. Returns whether it has begun."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            pass
        return self.has_begun
