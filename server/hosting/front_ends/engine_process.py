"""EngineProcess: the process of the engine when front ends speak HTTP."""

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Final

from server.engine.engine import Engine
from server.errors import FrontEndFailed
from server.hosting.draining import LINGER_SECONDS, drain_within
from server.hosting.front_ends.call_handler import CallHandler
from server.hosting.front_ends.channel import Channel
from server.hosting.front_ends.messages import DrainNotice, Welcome
from server.hosting.front_ends.supervisor import Supervisor
from server.hosting.memory import freeze_live_objects
from server.observability.metrics import Metrics
from server.settings import Settings

_MIN_SECONDS: Final = 1.0 + LINGER_SECONDS
"""Minimum time for front ends to send their last answers, in addition to their linger."""


class EngineProcess:
    """Serves through front ends until a signal, then drains like `DrainingServer`."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        metrics: Metrics,
        listener: socket.socket,
        changes: int,
        *,
        drain: Callable[[], Awaitable[None]],
    ) -> None:
        self._engine = engine
        self._drain = drain
        self._metrics = metrics
        self._listener = listener
        self._drain_seconds = settings.drain_seconds
        welcome = Welcome(settings, engine.backbone.fingerprint)
        self._front_ends = Supervisor(
            settings.num_front_ends, listener, changes, welcome, self._serve
        )
        metrics.watch(
            "front_ends",
            "Running front-end processes.",
            lambda: self._front_ends.num_running,
        )

    async def run(
        self, while_served: AbstractAsyncContextManager[None], announce: Callable[[], None]
    ) -> None:
        """Serve.

        Args:
            while_served: entered before the front ends start, and left after they have exited.
            announce: called when the server accepts requests.

        Raises:
            FrontEndFailed: when a front end cannot start.
        """
        signalled = _drain_at_first_signal_exit_at_second()
        seconds_left = 0.0
        with suppress(asyncio.CancelledError):
            async with while_served:
                try:
                    if await self._front_ends_started(signalled):
                        freeze_live_objects()
                        announce()
                        await signalled.wait()
                        self._front_ends.send(DrainNotice())
                        seconds_left = await drain_within(self._drain(), self._drain_seconds)
                finally:
                    # Connections that wait on the socket are refused, instead of hanging.
                    self._listener.close()
                    await self._front_ends.stop(max(seconds_left, _MIN_SECONDS))

    async def _front_ends_started(self, signalled: asyncio.Event) -> bool:
        try:
            await self._front_ends.start()
        except FrontEndFailed:
            if signalled.is_set():  # they got the signal, too: this is not a failure
                return False
            raise
        return True

    async def _serve(self, channel: Channel) -> None:
        await CallHandler(channel, self._engine, self._metrics).serve()


def _drain_at_first_signal_exit_at_second() -> asyncio.Event:
    signalled = asyncio.Event()
    running = asyncio.current_task()
    assert running is not None

    def handle() -> None:
        if signalled.is_set():
            running.cancel()
        signalled.set()

    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # `nohup` ignores it
        numbers.append(signal.SIGHUP)
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, handle)
    return signalled
