"""BoundedHttp: the HTTP protocol of uvicorn, with limits on headers and on connections."""

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from starlette.exceptions import HTTPException
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from server.api.middleware.networks import network_of
from server.api.middleware.security_headers import HEADERS
from server.api.problem_responses import response_to
from server.api.problems import problem_of
from server.problems import RETRY_SECONDS, Problem

_MAX_HEAD_BYTES: Final = 64 * 1024
"""Of a request line and headers. The piece of data that contains their end is not counted."""

_LINGER_SECONDS: Final = 10.0
_LINGER_IDLE_SECONDS: Final = 1.0
"""How long the rest of a rejected body is read after the response: in total, and without data."""


class ConnectionCounts:
    """The number of open connections of each network to this process."""

    def __init__(self, max_per_network: int) -> None:
        self.max_per_network = max_per_network
        self._open: Counter[str] = Counter()

    def add(self, network: str) -> bool:
        """Count a connection, unless its network has too many. Returns whether it was counted."""
        if self._open[network] >= self.max_per_network:
            return False
        self._open[network] += 1
        return True

    def remove(self, network: str) -> None:
        """Stop counting a connection that was added."""
        self._open[network] -= 1
        if not self._open[network]:
            del self._open[network]


class BoundedHttp(HttpToolsProtocol):
    """Closes a connection whose request line and headers are too long or never arrive.

    They must arrive within the keep-alive time of an idle connection. Input that is not valid HTTP
    gets a problem document, like every other error. `counts` limits the connections of a network.

    If a response ends the connection before the body of the request has arrived, the rest of the
    body is read and dropped first. To close a socket with unread data resets the connection. The
    sender may then lose the response: behind a proxy, a 413 would become a 502.
    """

    def __init__(
        self, *arguments: Any, counts: ConnectionCounts | None = None, **named: Any
    ) -> None:
        super().__init__(*arguments, **named)
        self._counts = counts
        self._network: str | None = None
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._linger_until = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request, unless the network has too many connections."""
        super().connection_made(transport)
        if self._admits_connection():
            self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting, and stop counting the connection."""
        self._stop_waiting_for_head()
        self._stop_lingering()
        if self._counts is not None and self._network is not None:
            self._counts.remove(self._network)
            self._network = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count the bytes of a head, and pass them on. Drop those of a body that was rejected."""
        if self._linger_timer is not None:
            self._linger()
            return
        if self._head_timer is not None:
            if self._head_bytes > _MAX_HEAD_BYTES:
                self.send_400_response(
                    f"The request line and headers are longer than {_MAX_HEAD_BYTES} bytes. "
                    "Send fewer or shorter headers."
                )
                return
            self._head_bytes += len(data)
        super().data_received(data)
        self._stay_alive_for_a_while()

    def on_message_begin(self) -> None:
        """Start to count the bytes of a head."""
        super().on_message_begin()
        self._wait_for_head()

    def on_headers_complete(self) -> None:
        """Stop counting: the head is complete."""
        self._stop_waiting_for_head()
        super().on_headers_complete()
        transport = _ResponseTransport(self.transport, close=partial(self._close_after, self.cycle))
        self.cycle.transport = transport  # type: ignore[assignment]

    def send_400_response(self, msg: str) -> None:
        """Answer input that is not a valid request, and close the connection."""
        self._reject(problem_of(HTTPException(400, msg)))

    def _admits_connection(self) -> bool:
        """Count the connection. Reject it if its network has too many."""
        if self._counts is None:
            return True
        network = network_of(self.client[0] if self.client else "")
        if self._counts.add(network):
            self._network = network
            return True
        detail = (
            f"Your address has {self._counts.max_per_network} open connections, which is the "
            "maximum. Close some, or reuse them."
        )
        headers = {"Retry-After": str(RETRY_SECONDS)}
        self._reject(problem_of(HTTPException(429, detail, headers)))
        return False

    def _reject(self, problem: Problem) -> None:
        self._stop_waiting_for_head()
        if self.transport.is_closing():
            return
        response = response_to(problem, {"path": ""})
        line = f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}"
        head = [line.encode(), b"connection: close"]
        head += [name + b": " + value for name, value in (*response.raw_headers, *HEADERS)]
        self.transport.write(b"\r\n".join([*head, b"", bytes(response.body)]))
        self.transport.close()

    def _stay_alive_for_a_while(self) -> None:
        """Close the connection later if it only gets the rest of a body after its response.

        uvicorn stops its timer at any data, and starts it again after a response only.
        """
        has_timer = self._head_timer is not None or self.timeout_keep_alive_task is not None
        if self.cycle is not None and self.cycle.response_complete and not has_timer:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _close_after(self, cycle: RequestResponseCycle) -> None:
        """Close the connection once a response was written, and the body was read or dropped."""
        if cycle.response_complete and cycle.more_body and not self.transport.is_closing():
            self._linger_until = self.loop.time() + _LINGER_SECONDS
            self._linger()
        else:
            self.transport.close()

    def _linger(self) -> None:
        """Close the connection when no more data arrives, or when it takes too long."""
        self._stop_lingering()
        moment = min(self.loop.time() + _LINGER_IDLE_SECONDS, self._linger_until)
        self._linger_timer = self.loop.call_at(moment, self.transport.close)

    def _stop_lingering(self) -> None:
        if self._linger_timer is not None:
            self._linger_timer.cancel()

    def _wait_for_head(self) -> None:
        self._stop_waiting_for_head()
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(self.timeout_keep_alive, self._give_up)

    def _stop_waiting_for_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        self.transport.close()


class _ResponseTransport:
    """The transport as a response uses it: `close` is replaced."""

    def __init__(self, transport: asyncio.Transport, *, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close
