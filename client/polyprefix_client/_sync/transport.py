# Generated from _async/transport.py by generate_sync.py. Change that file instead.
"""Transport: sends calls over httpx, and repeats those that failed for a moment."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx

from polyprefix_client._sync.concurrency import sleep
from polyprefix_client.errors import ConnectionFailed, DeadlineExceeded, PolyprefixError
from polyprefix_client.login import Connection
from polyprefix_client.requests import Call, complete_response, default_headers, error_of
from polyprefix_client.retries import Attempts, RetryPolicy

_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_STATE_HEADER: Final = "Polyprefix-Registry-State"
_STREAM_SECONDS: Final = 60.0
"""Maximum silence of a stream of events. The server sends a comment every 15 seconds."""


class Transport:
    """The connections to one server."""

    def __init__(
        self, connection: Connection, timeout: float, retries: RetryPolicy, **options: Any
    ) -> None:
        self.connection = connection
        self._timeout = timeout
        self.retries = retries
        headers = default_headers(connection.key)
        self._http = httpx.Client(base_url=connection.url, headers=headers, **options)

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def send(self, call: Call) -> httpx.Response:
        """Send a call, and return the first response that is a success.

        Raises:
            ApiError: when the server rejects the call, or fails until there are no attempts left.
            ConnectionFailed: when the server cannot be reached, or the connection breaks.
            DeadlineExceeded: when the response does not arrive within the timeout.
        """
        attempts = Attempts(self.retries, self._timeout, is_idempotent=call.is_idempotent)
        while True:
            response = self._attempt(call, attempts)
            if response is not None:
                return response

    def _attempt(self, call: Call, attempts: Attempts) -> httpx.Response | None:
        """Send a call once; return None, after a wait, if the call must be sent again."""
        seconds = max(0.001, attempts.seconds_left)
        try:
            arguments = call.arguments(seconds)
            with self._http.stream(call.method, call.path, **arguments) as opened:
                response = _read(opened, attempts)
        except httpx.TransportError as error:
            wait = attempts.wait_after_failure(was_sent=not isinstance(error, _NEVER_SENT))
            if wait is None:
                raise self._failure(error, call) from error
        else:
            self._note_state(response)
            if response.is_success:
                return response
            failure = error_of(response)
            wait = attempts.wait_after_status(response.status_code, failure.retry_after)
            if wait is None:
                raise failure
        sleep(wait)
        return None

    @contextmanager
    def stream(self, call: Call) -> Iterator[httpx.Response]:
        """Open a response whose body is read as it arrives. It is not repeated.

        Raises:
            ApiError: when the server rejects the call.
            ConnectionFailed: when the connection fails or breaks.
        """
        arguments = call.arguments(_STREAM_SECONDS)
        try:
            with self._http.stream(call.method, call.path, **arguments) as response:
                if not response.is_success:
                    response.read()
                    raise error_of(response)
                yield response
        except httpx.TransportError as error:
            raise self._failure(error, call) from error

    def _note_state(self, response: httpx.Response) -> None:
        """Let the next calls see a change at every server that shares the registry."""
        state = int(response.headers.get(_STATE_HEADER, 0))
        if state > int(self._http.headers.get(_STATE_HEADER, 0)):
            self._http.headers[_STATE_HEADER] = str(state)

    def _failure(self, error: httpx.TransportError, call: Call) -> PolyprefixError:
        what = f"{call.method} {self.connection.url}{call.path}"
        if isinstance(error, httpx.TimeoutException):
            return DeadlineExceeded(f"{what} took too long. Try again, or raise `timeout`.")
        reason = str(error) or type(error).__name__
        return ConnectionFailed(
            f"{what} failed: {reason}. Check the URL, and that the server is running."
        )


def _read(opened: httpx.Response, attempts: Attempts) -> httpx.Response:
    """Read a body until the deadline. The timeout of httpx applies to each part of it only."""
    parts = []
    for part in opened.iter_bytes():
        parts.append(part)
        if attempts.seconds_left <= 0:
            raise httpx.ReadTimeout("The body arrives too slowly.", request=opened.request)
    return complete_response(opened, b"".join(parts))
