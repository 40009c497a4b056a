"""A proxy between a client and a service that cuts replies short, or delays or holds data back."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self


class FaultyProxy:
    """Passes connections on. `max_reply_bytes` limits each reply, after which it is silent or ends.

    `reply_delay` are the seconds by which each part of a reply is late. Use it as a context.
    """

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._target = port
        self._listener = socket.create_server((host, 0))
        self.port: int = self._listener.getsockname()[1]
        self.max_reply_bytes: int | None = None
        self.is_silent = False
        self.reply_delay = 0.0
        self._open: set[socket.socket] = set()
        self._passes = threading.Event()
        self._passes.set()
        self._holds = threading.Event()

    @contextmanager
    def hold_requests(self) -> Iterator[threading.Event]:
        """Hold requests back while the block lasts. The event says that there is one."""
        self._holds.clear()
        self._passes.clear()
        try:
            yield self._holds
        finally:
            self._passes.set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_connections()

    def drop_connections(self) -> None:
        """End all connections. New ones get the present limits."""
        for one in tuple(self._open):
            self._end(one)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            try:
                service = socket.create_connection(("127.0.0.1", self._target))
            except OSError:  # the service is away
                client.close()
                continue
            self._open |= {client, service}
            threading.Thread(target=self._requests, args=(client, service), daemon=True).start()
            threading.Thread(target=self._replies, args=(service, client), daemon=True).start()

    def _end(self, one: socket.socket) -> None:
        self._open.discard(one)
        with suppress(OSError):  # wakes up the thread that reads from it
            one.shutdown(socket.SHUT_RDWR)
        one.close()

    def _requests(self, client: socket.socket, service: socket.socket) -> None:
        try:
            while data := client.recv(65536):
                if not self._passes.is_set():
                    self._holds.set()
                    self._passes.wait()
                service.sendall(data)
        except OSError:
            pass
        self._end(service)

    def _replies(self, service: socket.socket, client: socket.socket) -> None:
        num_left = self.max_reply_bytes
        try:
            while data := service.recv(65536):
                time.sleep(self.reply_delay)
                passed = data if num_left is None else data[:num_left]
                client.sendall(passed)
                if num_left is not None:
                    num_left -= len(passed)
                    if num_left == 0:
                        break
        except OSError:
            pass
        if not (self.is_silent and num_left == 0):
            self._end(client)
            self._end(service)
