import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import pytest

from server.hosting import bounded_http
from server.hosting.bounded_http import BoundedHttp, ConnectionCounts
from tests.server.rest import Rest, on_a_port, until


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        yield connection


def until_closed(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def check_malformed(answer: bytes) -> str:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/problem+json" in head
    problem: dict[str, Any] = json.loads(body)
    assert (problem["status"], problem["code"]) == (400, "malformed_request")
    return str(problem["detail"])


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(b"HELLO\r\n\r\n", id="no HTTP"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nX: \x00\r\n\r\n", id="control character"),
        pytest.param(b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", id="negative length"),
        pytest.param(
            b"GET / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", id="huge length"
        ),
        pytest.param(b"GET /\xff HTTP/1.1\r\n\r\n", id="path beyond ASCII"),
    ],
)
def test_input_that_is_not_http_gets_a_problem_document(rest: Rest, request_bytes: bytes) -> None:
    with connected(rest.url) as connection:
        connection.sendall(request_bytes)
        assert check_malformed(until_closed(connection))


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nX: ", b"GET /"])
def test_a_head_without_end_is_rejected(rest: Rest, start: bytes) -> None:
    with connected(rest.url) as connection:
        connection.sendall(start)
        answer = b""
        try:
            for _ in range(100):
                connection.sendall(b"x" * 2**18)
        except OSError:
            pass  # the server has closed
        try:
            answer = until_closed(connection)
        except ConnectionResetError:
            return  # it closed with bytes unread, and the answer was lost on the way
        assert "65536 bytes" in check_malformed(answer)


def test_each_request_on_a_connection_is_counted_separately(rest: Rest) -> None:
    with rest.client() as client:
        for _ in range(5):
            assert client.get("/livez", headers={"X": "y" * 30_000}).status_code == 200


@pytest.mark.parametrize("start", [b"", b"GET /livez HT"])
def test_a_head_that_never_arrives_closes_the_connection(start: bytes) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            raise AssertionError("nobody asks")

    with (
        on_a_port(app, timeout_keep_alive=0.2, lifespan="off") as url,
        connected(url) as connection,
    ):
        connection.sendall(start)
        assert until_closed(connection) == b""


@pytest.mark.parametrize("rest_of_body", [b"x", b"x" * 100])
def test_a_connection_with_an_early_response_is_closed_when_it_is_idle(
    rest_of_body: bytes,
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    with (
        on_a_port(app, timeout_keep_alive=0.2, lifespan="off") as url,
        connected(url) as connection,
    ):
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 204 ")
        connection.sendall(rest_of_body)
        assert until_closed(connection) == b""


def test_each_address_has_its_own_limit_of_connections() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    def is_answered(connection: socket.socket) -> bool:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        return connection.recv(65536).startswith(b"HTTP/1.1 204 ")

    counts = ConnectionCounts(3)
    protocol = partial(BoundedHttp, counts=counts)
    with on_a_port(app, http=protocol, lifespan="off") as url, ExitStack() as stack:
        held = [stack.enter_context(connected(url)) for _ in range(3)]
        assert all(map(is_answered, held))
        with connected(url) as refused:
            head, _, body = until_closed(refused).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 429 ")
            assert b"retry-after: 5" in head.lower()
            problem = json.loads(body)
            assert (problem["code"], problem["retry_after"]) == ("overloaded", 5)
        other = socket.socket()
        stack.enter_context(other)
        other.bind(("127.0.0.2", 0))
        other.connect(("127.0.0.1", int(url.rpartition(":")[2])))
        assert is_answered(other)
        held.pop().close()
        until(lambda: counts.add("127.0.0.1"))
        counts.remove("127.0.0.1")
        with connected(url) as successor:
            assert is_answered(successor)


TOO_LARGE = b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 99000000\r\n\r\n"


def check_too_large(answer: bytes) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in head.lower()
    assert json.loads(body)["code"] == "body_too_large"


def test_a_sender_of_a_rejected_body_gets_the_response_whole(rest: Rest) -> None:
    with connected(rest.url) as connection:
        connection.sendall(TOO_LARGE)
        answer = connection.recv(2**16, socket.MSG_PEEK)  # the server has responded by now
        for _ in range(64):
            connection.sendall(bytes(2**20))
        answer = until_closed(connection)
    check_too_large(answer)


def test_what_follows_a_rejected_body_is_not_executed(rest: Rest) -> None:
    with connected(rest.url) as connection:
        connection.sendall(TOO_LARGE)
        connection.recv(2**16, socket.MSG_PEEK)
        connection.sendall(bytes(99_000_000) + b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = until_closed(connection)
    check_too_large(answer)
    assert answer.count(b"HTTP/1.1 ") == 1


def test_the_rest_of_a_rejected_body_is_read_for_a_limited_time(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_http, "_LINGER_SECONDS", 0.2)
    with connected(rest.url) as connection:
        connection.sendall(TOO_LARGE)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            send_forever(connection)


def send_forever(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"x")
