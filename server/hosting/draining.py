"""DrainingServer: a uvicorn server that finishes in-flight work before it exits with 0.

On SIGTERM, SIGINT or SIGHUP the port stays open. New work gets 503, `/readyz` says why, and
in-flight requests are answered. While connections are open, requests get 503 for up to half a
second longer; then the listener closes. A second signal exits at once. If the parent ignores
SIGHUP, as `nohup` does, it stays ignored.
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
from typing import Any, Final, Self

import uvicorn

from server.hosting.bounded_http import BoundedHttp, ConnectionCounts
from server.hosting.certificate import Certificate
from server.hosting.memory import freeze_live_objects
from server.hosting.open_files import raise_open_file_limit
from server.settings import Settings

_log = logging.getLogger(__name__)

LINGER_SECONDS: Final = 0.5
"""Maximum time after draining in which requests still get 503. Without it, a request that is on its
way when the last work ends finds its connection closed."""

_KEEP_ALIVE_SECONDS: Final = 75
"""Longer than clients and proxies usually keep an idle connection. If they close it first, no
request is sent into a connection that the server is closing."""


class DrainingServer(uvicorn.Server):
    """Runs an application on a bound socket until a signal, then drains it. See the module."""

    def __init__(
        self,
        app: Any,
        *,
        drain: Callable[[], Awaitable[None]],
        drain_seconds: float,
        announce: Callable[[], None],
        max_connections_per_address: int | None = None,
        trusted_proxies: str | None = None,
        certificate: Certificate | None = None,
    ) -> None:
        """Set up.

        Args:
            app: the ASGI application.
            drain: rejects new work at once, and returns when in-flight work is done.
            drain_seconds: maximum time for draining and for sending the last answers, together.
            announce: called when the server accepts requests.
            max_connections_per_address: maximum number of open connections of one caller.
            trusted_proxies: addresses and networks whose `X-Forwarded` headers are believed.
            certificate: makes the server speak HTTPS.
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
                forwarded_allow_ips=trusted_proxies,
                ssl_context_factory=None if certificate is None else lambda *_: certificate.context,
            )
        )
        self._certificate = certificate
        self._watching: asyncio.Task[None] | None = None
        self._drain = drain
        self._drain_seconds = drain_seconds
        self._announce = announce
        self._draining: asyncio.Task[None] | None = None

    @classmethod
    def of(
        cls,
        settings: Settings,
        app: Any,
        *,
        drain: Callable[[], Awaitable[None]],
        announce: Callable[[], None],
    ) -> Self:
        """Set up as the settings say.

        Raises:
            InvalidSettings: when the files of TLS cannot be used.
        """
        return cls(
            app,
            drain=drain,
            drain_seconds=settings.drain_seconds,
            announce=announce,
            max_connections_per_address=settings.max_connections_per_address,
            trusted_proxies=settings.trusted_proxies,
            certificate=Certificate.of(settings),
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then announce."""
        await super().startup(sockets)
        if self.started:
            freeze_live_objects()
            if self._certificate is not None:
                self._watching = asyncio.create_task(self._certificate.keep_current())
            self._announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop."""
        if self._watching is not None:
            self._watching.cancel()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle SIGHUP like the other signals. By default it would kill the process at once."""
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
        """Drain at the first signal, and exit at the second."""
        if self._draining is None and self.started:
            # A signal handler interrupts the thread of the loop: it may only schedule the work.
            asyncio.get_running_loop().call_soon_threadsafe(self._begin)
        else:
            self.should_exit = True
            self.force_exit = True

    def _begin(self) -> None:
        self._draining = asyncio.create_task(self._drain_and_exit())

    async def _drain_and_exit(self) -> None:
        seconds_left = await drain_within(self._drain(), self._drain_seconds)
        if self.server_state.connections:
            linger = min(LINGER_SECONDS, max(0.0, seconds_left))
            await asyncio.sleep(linger)
            seconds_left -= linger
        self.config.timeout_graceful_shutdown = max(1, int(seconds_left))
        self.should_exit = True


def _protocol(max_connections_per_address: int | None) -> Any:
    """Choose the HTTP protocol. It never uses more than half of the files that may be open."""
    if max_connections_per_address is None:
        return BoundedHttp
    at_most = max(1, raise_open_file_limit() // 2)
    return partial(BoundedHttp, counts=ConnectionCounts(min(max_connections_per_address, at_most)))


async def drain_within(draining: Awaitable[None], seconds: float) -> float:
    """Wait for in-flight work, for at most this time. Returns the seconds that are left."""
    started = time.monotonic()
    _log.info("draining: rejecting new work, waiting up to %g s for in-flight work", seconds)
    try:
        async with asyncio.timeout(seconds):
            await draining
    except TimeoutError:
        _log.warning(
            "canceling work that is in flight after %g s. To wait longer, raise "
            "POLYPREFIX_DRAIN_SECONDS.",
            seconds,
        )
    return seconds - (time.monotonic() - started)
