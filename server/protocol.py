"""BoundedHttp: uvicorn's HTTP protocol, with bounds on request line and headers that it lacks."""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server.api.problems import Problem

_MAX_HEAD_BYTES: Final = 64 * 1024
"""Of a request's line and headers; what comes in one piece with their end is not counted."""


class BoundedHttp(HttpToolsProtocol):
    """Closes connections whose request line and headers are too long or do not come.

    They must be there in the time for which an idle connection is kept. What is no HTTP at all is
    answered in the shape of every other error.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._head_is_there()
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
        self._head_is_there()
        if self.transport.is_closing():
            return
        problem = Problem(400, "Bad Request", "malformed_request", msg)
        response = problem.response({"path": ""})
        head = [b"HTTP/1.1 400 Bad Request", b"connection: close"]
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
