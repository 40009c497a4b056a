"""DrainingServer: uvicorn that finishes its work before it goes, and then exits with 0.

On SIGTERM, SIGINT or SIGHUP the engine refuses new work (503, `/readyz` says why) while the port
stays open; what was admitted is answered; then the listener closes. A second signal ends it at
once. A SIGHUP that the parent has chosen to ignore, as `nohup` does, stays ignored.
"""

import asyncio
import logging
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, Final

import uvicorn

from server.hosting.bounded_http import BoundedHttp, ConnectionCounts
from server.hosting.memory import freeze_live_objects
from server.hosting.open_files import raise_open_file_limit

_log = logging.getLogger(__name__)

_KEEP_ALIVE_SECONDS: Final = 75
"""Longer than clients and proxies usually keep an idle connection: when they close first, nobody
sends a request into a connection that the server is just closing."""


class DrainingServer(uvicorn.Server):
    """Runs an app on a bound socket until a signal, then drains it; see the module."""

    def __init__(
        self,
        app: Any,
        *,
        drain: Callable[[], Awaitable[None]],
        drain_seconds: float,
        announce: Callable[[], None],
        max_connections_per_address: int | None = None,
    ) -> None:
        """Set up.

        Args:
            app: the ASGI application.
            drain: refuses new work at once, and returns when that in flight is done.
            drain_seconds: bound on draining and on sending the last answers, together.
            announce: called once requests are answered.
            max_connections_per_address: bound on open connections of one caller, if any.
        """
        super().__init__(
            uvicorn.Config(
                app,
                http=_protocol(max_connections_per_address),
                log_config=None,
                access_log=False,
                server_header=False,
                ws="none",
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            )
        )
        self._drain = drain
        self._drain_seconds = drain_seconds
        self._announce = announce
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then announce."""
        await super().startup(sockets)
        if self.started:
            freeze_live_objects()
            self._announce()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle SIGHUP as the others: by default it would end the process with work in flight."""
        with super().capture_signals():
            is_main = threading.current_thread() is threading.main_thread()
            if not is_main or signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
                yield
                return
            before = signal.signal(signal.SIGHUP, self.handle_exit)
            try:
                yield
            finally:
                signal.signal(signal.SIGHUP, before)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - overrides
        """Drain at the first signal, end at the second."""
        if self._draining is None and self.started:
            # Called between two instructions of the loop's own thread: leave the work to the loop.
            asyncio.get_running_loop().call_soon_threadsafe(self._begin)
        else:
            self.should_exit = True
            self.force_exit = True

    def _begin(self) -> None:
        self._draining = asyncio.create_task(self._drain_and_exit())

    async def _drain_and_exit(self) -> None:
        seconds_left = await drain_within(self._drain(), self._drain_seconds)
        self.config.timeout_graceful_shutdown = max(1, int(seconds_left))
        self.should_exit = True


def _protocol(max_connections_per_address: int | None) -> Any:
    """Choose the protocol; its connections are bounded by what the system allows, too."""
    if max_connections_per_address is None:
        return BoundedHttp
    at_most = max(1, raise_open_file_limit() // 2)
    return partial(BoundedHttp, counts=ConnectionCounts(min(max_connections_per_address, at_most)))


async def drain_within(draining: Awaitable[None], seconds: float) -> float:
    """Wait until what is in flight is done, for some seconds; gives those that are left."""
    started = time.monotonic()
    _log.info("draining: no new work, at most %g seconds for that in flight", seconds)
    try:
        async with asyncio.timeout(seconds):
            await draining
    except TimeoutError:
        _log.warning("work was still in flight after %g seconds", seconds)
    return seconds - (time.monotonic() - started)
