"""Supervisor: starts the front ends, replaces those that exit, and stops them."""

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
from server.hosting.front_ends.channel import Channel, send_first
from server.hosting.front_ends.messages import ReadyNotice, Welcome
from server.hosting.front_ends.shared_changes import ENGINE_PLACE

_MODULE: Final = "server.hosting.front_ends.front_end"
_SECONDS_BETWEEN_STARTS: Final = 1.0
_SECONDS_TO_CANCEL: Final = 2.0

_log = logging.getLogger(__name__)


class Supervisor:
    """Keeps a number of front ends running. Belongs to the event loop.

    They share one listening socket. When one exits, the others or its replacement accept the
    connections that wait on the socket.
    """

    def __init__(
        self,
        num: int,
        listener: socket.socket,
        changes: int,
        welcome: Welcome,
        serve: Callable[[Channel], Awaitable[None]],
    ) -> None:
        """Set up.

        Args:
            num: the number of front ends.
            listener: a bound socket, which need not listen yet.
            changes: the descriptor of the file of `shared_file`.
            welcome: the first message to each front end.
            serve: answers the messages of a front end until its channel is closed.
        """
        self._num = num
        self._listener = listener
        self._changes = changes
        self._welcome = welcome
        self._serve = serve
        self._processes: set[asyncio.subprocess.Process] = set()
        self._channels: set[Channel] = set()
        self._keeping: list[asyncio.Task[None]] = []
        self._is_stopping = False

    @property
    def num_running(self) -> int:
        """Return the number of processes that run now."""
        return len(self._processes)

    async def start(self) -> None:
        """Start all front ends. Returns when each accepts connections.

        Raises:
            FrontEndFailed: when one of them exits instead.
        """
        listening = [asyncio.Event() for _ in range(self._num)]
        self._keeping = [
            asyncio.create_task(self._keep(place, event))
            for place, event in enumerate(listening, start=ENGINE_PLACE + 1)
        ]
        starting = asyncio.create_task(_wait_for(listening))
        await asyncio.wait([starting, *self._keeping], return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await self.stop(0)
            raise FrontEndFailed(
                "A front-end process exited during startup. Its log lines above say why."
            )

    def send(self, message: object) -> None:
        """Send a message to each front end that accepts connections."""
        for channel in self._channels:
            channel.send(message)

    async def stop(self, seconds: float) -> None:
        """Stop all. They have this time for in-flight requests, and then cancel them."""
        self._is_stopping = True
        try:
            for allowed in (seconds, _SECONDS_TO_CANCEL):
                self._signal(signal.SIGTERM)
                if await self._have_exited(allowed):
                    break
        finally:
            self._signal(signal.SIGKILL)
        await self._have_exited(None)

    async def _have_exited(self, seconds: float | None) -> bool:
        """Wait for all to exit, for at most this time. Returns whether they have."""
        if self._keeping:
            await asyncio.wait(self._keeping, timeout=seconds)
        return all(keeping.done() for keeping in self._keeping)

    def _signal(self, number: signal.Signals) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.send_signal(number)

    async def _keep(self, place: int, listening: asyncio.Event) -> None:
        """Run a front end and its replacements, unless it exits before it ever listened."""
        while not self._is_stopping:
            started = time.monotonic()
            try:
                await self._run(place, listening)
            except Exception:  # noqa: BLE001 - any error: its replacement may work
                _log.exception("a front end failed")
            if self._is_stopping or not listening.is_set():
                return
            _log.error("a front end exited; starting its replacement")
            await asyncio.sleep(max(0.0, started + _SECONDS_BETWEEN_STARTS - time.monotonic()))

    async def _run(self, place: int, listening: asyncio.Event) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            files = (theirs.fileno(), self._listener.fileno(), self._changes)
            process = await asyncio.create_subprocess_exec(
                # -P: modules in the working folder of the operator must not be imported.
                *(sys.executable, "-P", "-m", _MODULE, *map(str, (*files, place))),
                pass_fds=files,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
        self._processes.add(process)
        if self._is_stopping:  # `stop` has signaled the others already
            process.kill()
        try:
            with ours:
                send_first(ours, self._welcome)
                await self._talk(await Channel.over(ours), listening)
        finally:
            await process.wait()  # it exits when its channel is closed
            self._processes.remove(process)

    async def _talk(self, channel: Channel, listening: asyncio.Event) -> None:
        try:
            if await _is_ready(channel):
                self._channels.add(channel)
                listening.set()
                await self._serve(channel)
        finally:
            self._channels.discard(channel)
            channel.close()


async def _wait_for(events: Sequence[asyncio.Event]) -> None:
    for event in events:
        await event.wait()


async def _is_ready(channel: Channel) -> bool:
    try:
        return isinstance(await channel.receive(), ReadyNotice)
    except EOFError:
        return False
