"""Channel: sends whole messages between the processes of one server.

Messages are pickles. That is safe because the parent creates both ends of a channel and its child
inherits one: nobody else can write to it. Bytes of a client are never unpickled.
"""

import asyncio
import pickle
import socket
import struct
from typing import Any, Final, Self

_LENGTH: Final = struct.Struct("<Q")


class Channel:
    """One end of a pair of connected sockets. Belongs to the event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> Self:
        """Use a connected socket, which is closed with the channel."""
        return cls(*await asyncio.open_connection(sock=end))

    def send(self, message: object) -> None:
        """Send a message without waiting. Does nothing if the other end is closed."""
        if not self._writer.is_closing():
            data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
            self._writer.write(_LENGTH.pack(len(data)))
            self._writer.write(data)

    async def receive(self) -> Any:
        """Wait for a message.

        Raises:
            EOFError: when the other end is closed.
        """
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            return pickle.loads(await self._reader.readexactly(length))  # noqa: S301 - our own
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise EOFError("The process at the other end of the channel has exited") from error

    def close(self) -> None:
        """Close the channel."""
        self._writer.close()


def send_first(end: socket.socket, message: object) -> None:
    """Send the first message, without an event loop."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    end.sendall(_LENGTH.pack(len(data)) + data)


def receive_first(end: socket.socket) -> Any:
    """Wait for the first message, without an event loop.

    Raises:
        EOFError: when the other end is closed.
    """
    (length,) = _LENGTH.unpack(_received(end, _LENGTH.size))
    return pickle.loads(_received(end, length))  # noqa: S301 - our own


def _received(end: socket.socket, num_bytes: int) -> bytes:
    data = end.recv(num_bytes, socket.MSG_WAITALL)
    if len(data) < num_bytes:
        raise EOFError("The process at the other end of the channel has exited")
    return data
