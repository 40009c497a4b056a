"""A front end: a process that speaks HTTP, and calls the engine in another process.

`Supervisor` starts it with one end of a channel and the listening socket.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server.app import create_app
from server.hosting.draining import DrainingServer
from server.hosting.front_ends.channel import Channel, receive_first
from server.hosting.front_ends.messages import ReadyNotice, Welcome
from server.hosting.front_ends.remote_engine import RemoteEngine
from server.hosting.front_ends.shared_changes import follow_changes
from server.hosting.registry_of_settings import registry_of
from server.observability.logs import configure_logging
from server.shutdown import Shutdown


class FrontEnd:
    """Serves HTTP until SIGTERM, or until the engine's process exits."""

    def __init__(
        self, channel_end: socket.socket, listener: socket.socket, changes: int, place: int
    ) -> None:
        """Set up.

        Args:
            channel_end: the channel to the engine's process.
            listener: accepts the connections.
            changes: the descriptor of the file of `shared_file`.
            place: the place in this file that belongs to this process.
        """
        self._channel_end = channel_end
        self._listener = listener
        self._changes = changes
        self._place = place
        self._shutdown = Shutdown()
        self._engine = RemoteEngine(self._shutdown)
        self._channel: Channel | None = None

    def run(self) -> None:
        """Wait for the first message of the engine's process, then serve."""
        welcome: Welcome = receive_first(self._channel_end)
        settings = welcome.settings
        registry = registry_of(settings)
        follow_changes(registry.database, settings, self._changes, self._place)
        try:
            application = create_app(
                settings,
                backbones=[welcome.backbone],
                engine=self._engine,
                registry=registry,
                metrics=self._engine,
                while_served=self._connected(),
                shutdown=self._shutdown,
            )
            server = DrainingServer.of(
                settings,
                application,
                drain=self._shutdown.begin,  # the engine's process has drained already
                announce=self._announce,
            )
            server.run(sockets=[self._listener])
        finally:
            registry.close()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[None]:
        self._channel = await Channel.over(self._channel_end)
        async with self._engine.connected(self._channel) as listening:
            listening.add_done_callback(_exit_unless_cancelled)
            yield

    def _announce(self) -> None:
        assert self._channel is not None
        self._channel.send(ReadyNotice())


def _exit_unless_cancelled(listening: asyncio.Task[None]) -> None:
    # Without an engine this process cannot answer, and no other process would stop it.
    if not listening.cancelled():
        os._exit(1)


def main() -> None:
    """Run. The arguments are three inherited file descriptors, and a place in the third file."""
    # In its own process group, Ctrl-C in a terminal reaches only the parent, which stops its front
    # ends in order. A session of its own would do that, too, but cost a third of the throughput
    # when measured: Linux shares processors among sessions (autogroups) before processes.
    os.setpgid(0, 0)
    configure_logging()
    channel_end, listener = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    changes, place = map(int, sys.argv[3:])
    FrontEnd(channel_end, listener, changes, place).run()


if __name__ == "__main__":
    main()
