"""Supervisor: starts the processes that speak HTTP, starts them again, and ends them."""

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from server.errors import FrontEndFailed
from server.hosting.front_ends.channel import Channel, send_at_once
from server.hosting.front_ends.messages import ReadyNotice, Welcome

_MODULE: Final = "server.hosting.front_ends.front_end"
_SECONDS_BETWEEN_STARTS: Final = 1.0
_SECONDS_TO_CANCEL: Final = 2.0

_log = logging.getLogger(__name__)


class Supervisor:
    """Keeps processes that share one listening socket. Belongs to the event loop.

    What waits on the socket while one of them is gone is taken by another, or by its successor.
    """

    def __init__(
        self,
        num: int,
        listener: socket.socket,
        welcome: Welcome,
        serve: Callable[[Channel], Awaitable[None]],
    ) -> None:
        """Set up.

        Args:
            num: processes.
            listener: bound; it need not listen yet.
            welcome: what each of them is told first.
            serve: answers what comes over a front end's channel, until that is gone.
        """
        self._num = num
        self._listener = listener
        self._welcome = welcome
        self._serve = serve
        self._processes: set[asyncio.subprocess.Process] = set()
        self._channels: set[Channel] = set()
        self._keeping: list[asyncio.Task[None]] = []
        self._is_stopping = False

    @property
    def num_running(self) -> int:
        """Count the processes that are there now."""
        return len(self._processes)

    async def start(self) -> None:
        """Start all; returns when each takes connections.

        Raises:
            FrontEndFailed: when one of them ends instead.
        """
        listening = [asyncio.Event() for _ in range(self._num)]
        self._keeping = [asyncio.create_task(self._keep(event)) for event in listening]
        starting = asyncio.create_task(_wait_for(listening))
        await asyncio.wait([starting, *self._keeping], return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await self.stop(0)
            raise FrontEndFailed("A front-end process ended as it started; its log line says why")

    def send(self, message: object) -> None:
        """Send a message to each that takes connections."""
        for channel in self._channels:
            channel.send(message)

    async def stop(self, seconds: float) -> None:
        """Let them answer what they have begun, for some seconds; then let them cancel it."""
        self._is_stopping = True
        try:
            for patience in (seconds, _SECONDS_TO_CANCEL):
                self._signal(signal.SIGTERM)
                if await self._have_ended(patience):
                    break
        finally:
            self._signal(signal.SIGKILL)
        await self._have_ended(None)

    async def _have_ended(self, seconds: float | None) -> bool:
        """Wait for all of them, for some seconds; says whether they have ended."""
        if self._keeping:
            await asyncio.wait(self._keeping, timeout=seconds)
        return all(keeping.done() for keeping in self._keeping)

    def _signal(self, number: signal.Signals) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.send_signal(number)

    async def _keep(self, listening: asyncio.Event) -> None:
        """Run a front end again and again, unless it ends before it ever listened."""
        while not self._is_stopping:
            started = time.monotonic()
            try:
                await self._run(listening)
            except Exception:  # noqa: BLE001 - whatever it was, the next one may fare better
                _log.exception("a front end has failed")
            if self._is_stopping or not listening.is_set():
                return
            _log.error("a front end has ended; another one is started")
            await asyncio.sleep(max(0.0, started + _SECONDS_BETWEEN_STARTS - time.monotonic()))

    async def _run(self, listening: asyncio.Event) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            files = (theirs.fileno(), self._listener.fileno())
            process = await asyncio.create_subprocess_exec(
                # -P: what lies in the folder that the operator happens to be in is none of ours.
                *(sys.executable, "-P", "-m", _MODULE, *map(str, files)),
                pass_fds=files,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
        self._processes.add(process)
        if self._is_stopping:  # it was not there when the others were told
            process.kill()
        try:
            with ours:
                send_at_once(ours, self._welcome)
                await self._talk(await Channel.over(ours), listening)
        finally:
            await process.wait()  # it ends when its channel does
            self._processes.remove(process)

    async def _talk(self, channel: Channel, listening: asyncio.Event) -> None:
        try:
            if await _says_that_it_listens(channel):
                self._channels.add(channel)
                listening.set()
                await self._serve(channel)
        finally:
            self._channels.discard(channel)
            channel.close()


async def _wait_for(events: Sequence[asyncio.Event]) -> None:
    for event in events:
        await event.wait()


async def _says_that_it_listens(channel: Channel) -> bool:
    try:
        return isinstance(await channel.receive(), ReadyNotice)
    except EOFError:
        return False
