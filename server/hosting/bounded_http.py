"""BoundedHttp: uvicorn's HTTP protocol, with bounds on request line and headers that it lacks."""

import asyncio
from collections import Counter
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server.api.middleware.networks import network_of
from server.api.problem_responses import response_to
from server.problems import RETRY_SECONDS, Problem

_MAX_HEAD_BYTES: Final = 64 * 1024
"""Of a request's line and headers; what comes in one piece with their end is not counted."""


class ConnectionCounts:
    """How many connections each network has open to this process."""

    def __init__(self, max_per_network: int) -> None:
        self.max_per_network = max_per_network
        self._open: Counter[str] = Counter()

    def add(self, network: str) -> bool:
        """Count a connection, unless there are as many as there may be; says whether it did."""
        if self._open[network] >= self.max_per_network:
            return False
        self._open[network] += 1
        return True

    def remove(self, network: str) -> None:
        """Count a connection out that was added."""
        self._open[network] -= 1
        if not self._open[network]:
            del self._open[network]


class BoundedHttp(HttpToolsProtocol):
    """Closes connections whose request line and headers are too long or do not come.

    They must be there in the time for which an idle connection is kept. What is no HTTP at all is
    answered in the shape of every other error. With `counts`, one network may have so many
    connections.
    """

    def __init__(
        self, *arguments: Any, counts: ConnectionCounts | None = None, **named: Any
    ) -> None:
        super().__init__(*arguments, **named)
        self._counts = counts
        self._network: str | None = None
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request, unless its sender has too many connections."""
        super().connection_made(transport)
        if self._is_counted():
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._head_is_there()
        if self._counts is not None and self._network is not None:
            self._counts.remove(self._network)
            self._network = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head, and pass it on."""
        if self._head_timer is not None:
            if self._head_bytes > _MAX_HEAD_BYTES:
                self.send_400_response(
                    f"The request's line and headers have more than {_MAX_HEAD_BYTES} bytes"
                )
                return
            self._head_bytes += len(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Begin to count a request's head."""
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        """End the count."""
        self._head_is_there()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be read as a request, and close."""
        self._refuse(Problem(400, "Bad Request", "malformed_request", msg))

    def _is_counted(self) -> bool:
        """Count the connection; where there are too many, refuse it."""
        if self._counts is None:
            return True
        network = network_of(self.client[0] if self.client else "")
        if self._counts.add(network):
            self._network = network
            return True
        detail = (
            f"Your address has {self._counts.max_per_network} connections open, and may have no "
            "more: close some, or reuse them"
        )
        title = "Too Many Requests"
        self._refuse(Problem(429, title, "overloaded", detail, retry_after=RETRY_SECONDS))
        return False

    def _refuse(self, problem: Problem) -> None:
        self._head_is_there()
        if self.transport.is_closing():
            return
        response = response_to(problem, {"path": ""})
        line = f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}"
        head = [line.encode(), b"connection: close"]
        head += [name + b": " + value for name, value in response.raw_headers]
        self.transport.write(b"\r\n".join([*head, b"", bytes(response.body)]))
        self.transport.close()

    def _await_head(self) -> None:
        self._head_is_there()
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(self.timeout_keep_alive, self._give_up)

    def _head_is_there(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        self.transport.close()
