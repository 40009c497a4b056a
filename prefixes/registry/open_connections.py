"""OpenConnections: the connections of an engine, to end them when the server hangs."""

import os
import socket
import threading
from contextlib import closing, suppress
from typing import Any
from weakref import WeakSet

from sqlalchemy import Engine, event
from sqlalchemy.pool import ConnectionPoolEntry


class OpenConnections:
    """The connections that an engine has opened. Safe to use from many threads.

    A server that accepts statements and never answers makes threads wait without a limit. The
    driver has none for the answers, and that of the server has no effect if the server hangs.
    """

    def __init__(self, engine: Engine) -> None:
        self._lock = threading.Lock()
        self._opened: WeakSet[Any] = WeakSet()
        event.listen(engine, "connect", self._add)

    def abort(self) -> None:
        """End the connections. The threads that wait for answers get an error of the driver."""
        with self._lock:
            for connection in self._opened:
                # Closing the connection itself is not safe while another thread uses it.
                with suppress(Exception), closing(_duplicate(connection.fileno())) as other:
                    other.shutdown(socket.SHUT_RDWR)

    def _add(self, connection: Any, _entry: ConnectionPoolEntry) -> None:
        with self._lock:
            self._opened.add(connection)


def _duplicate(file: int) -> socket.socket:
    return socket.socket(fileno=os.dup(file))
