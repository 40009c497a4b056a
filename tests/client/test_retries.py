"""Retries: which calls are repeated, how often, and after how long."""

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from polyprefix_client import (
    AuthenticationFailed,
    Client,
    ConnectionFailed,
    DeadlineExceeded,
    InvalidResponse,
    RateLimited,
    RetryPolicy,
    ServerFailed,
)
from polyprefix_client._sync import transport as transport_module
from polyprefix_client.retries import Attempts

BUSY = httpx.Response(429, json={"status": 429, "code": "overloaded", "title": "Busy"})
DOWN = httpx.Response(503, headers={"Retry-After": "2"}, json={"status": 503, "code": "x"})
ONCE = RetryPolicy(max_attempts=1)
MODELS = httpx.Response(200, json={"data": []})


class Script:
    """A transport that answers with the next of several responses or errors."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the client has slept, without sleeping."""
    slept: list[float] = []
    monkeypatch.setattr(transport_module, "sleep", slept.append)
    return slept


@contextmanager
def scripted(
    *answers: httpx.Response | Exception, **options: Any
) -> Iterator[tuple[Client, Script]]:
    script = Script(*answers)
    with Client("http://server", transport=httpx.MockTransport(script), **options) as client:
        yield client, script


def test_a_read_is_repeated_after_the_time_that_the_server_names(waits: list[float]) -> None:
    with scripted(DOWN, BUSY, MODELS) as (client, script):
        assert client.models() == []
    assert len(script.requests) == 3
    assert 2 <= waits[0] <= 2.25
    assert 0 <= waits[1] <= 0.5


def test_a_call_ends_with_the_last_error_when_there_are_no_attempts_left(
    waits: list[float],
) -> None:
    policy = RetryPolicy(max_attempts=3)
    with scripted(*[DOWN] * 3, retries=policy) as (client, script), pytest.raises(ServerFailed):
        client.models()
    assert (len(script.requests), len(waits)) == (3, 2)


def test_a_wait_beyond_the_deadline_is_not_begun(waits: list[float]) -> None:
    slow = httpx.Response(429, headers={"Retry-After": "3600"}, json={"status": 429, "code": "x"})
    with scripted(slow) as (client, _), pytest.raises(RateLimited) as error:
        client.models()
    assert error.value.retry_after == 3600
    assert waits == []


def test_a_change_that_may_take_effect_twice_is_not_repeated(waits: list[float]) -> None:
    lost = httpx.ReadError("reset")
    with scripted(DOWN) as (client, script), pytest.raises(ServerFailed):
        client.tenants.create("acme")
    with scripted(lost) as (client, script), pytest.raises(ConnectionFailed, match="reset"):
        client.tenants.create("acme")
    assert (len(script.requests), waits) == (1, [])


def test_a_request_that_was_never_sent_is_repeated(waits: list[float]) -> None:
    made = httpx.Response(
        201,
        json={
            **dict.fromkeys(("suspended_at", "deleted_at")),
            "name": "acme",
            "state": "active",
            "is_public": False,
            "created_at": "2026-11-30T00:00:00Z",
        },
    )
    with scripted(httpx.ConnectError("refused"), made) as (client, script):
        assert client.tenants.create("acme").name == "acme"
    assert (len(script.requests), len(waits)) == (2, 1)


def test_an_upload_is_repeated_with_the_same_idempotency_key(waits: list[float]) -> None:
    version = {
        "ref": "acme/spam@1",
        "tenant": "acme",
        "task": "spam",
        "version": 1,
        "digest": "d",
        "size_bytes": 1,
        "created_at": "2026-11-30T00:00:00Z",
        "created_by": "acme",
        "is_new": True,
    }
    lost, done = httpx.ReadError("reset"), httpx.Response(201, json=version)
    with scripted(lost, done, done) as (client, script):
        client.prefixes.upload("acme/spam", b"x")
        client.prefixes.upload("acme/spam", b"x")
    keys = [request.headers["Idempotency-Key"] for request in script.requests]
    assert keys[0] == keys[1] != keys[2]
    assert len({len(request.content) for request in script.requests}) == 1
    assert len(waits) == 1


def test_errors_that_a_retry_cannot_cure_are_raised_at_once(waits: list[float]) -> None:
    wrong = httpx.Response(401, json={"status": 401, "code": "invalid_key", "title": "No"})
    with scripted(wrong) as (client, script), pytest.raises(AuthenticationFailed):
        client.models()
    late = httpx.Response(504, json={"status": 504, "code": "deadline_exceeded", "title": "Late"})
    with scripted(late) as (client, script), pytest.raises(ServerFailed):
        client.models()
    assert (len(script.requests), waits) == (1, [])


def test_a_timeout_is_named_with_what_to_do() -> None:
    slow = httpx.ReadTimeout("slow")
    with scripted(slow, retries=ONCE) as (client, _), pytest.raises(DeadlineExceeded) as error:
        client.models()
    assert "raise `timeout`" in str(error.value)


def test_the_server_learns_how_long_the_client_waits() -> None:
    once = scripted(BUSY, retries=ONCE, timeout=5)
    with once as (client, script), pytest.raises(RateLimited):
        client.classify("x")
    assert 0 < int(script.requests[0].headers["X-Timeout-Ms"]) <= 5000


def test_a_page_of_a_proxy_is_an_error_of_its_status(waits: list[float]) -> None:
    page = httpx.Response(502, text="<html>Bad Gateway</html>")
    with scripted(page, retries=ONCE) as (client, _), pytest.raises(ServerFailed) as failed:
        client.models()
    assert "status 502, and without a description" in str(failed.value)


@pytest.mark.parametrize(
    ("body", "reason"),
    [("<html>", "not JSON"), ('{"name": "other"}', "no valid ServerStatus"), ("[]", "no valid")],
)
def test_a_success_of_another_program_is_an_error(body: str, reason: str) -> None:
    found = httpx.Response(200, text=body)
    with scripted(found) as (client, _), pytest.raises(InvalidResponse, match=reason):
        client.status()


def test_waits_grow_up_to_a_bound_and_never_fall_below_retry_after() -> None:
    policy = RetryPolicy(first_wait=1, max_wait=4)
    for retry, bound in enumerate((1, 2, 4, 4), start=1):
        found = [policy.wait_before(retry) for _ in range(50)]
        assert 0 <= min(found) <= max(found) <= bound
        assert len(set(found)) > 1
    assert policy.wait_before(1, retry_after=9) >= 9


def test_attempts_end_at_the_deadline() -> None:
    now = 0.0
    attempts = Attempts(RetryPolicy(first_wait=0), 10, is_idempotent=True, clock=lambda: now)
    assert attempts.wait_after_status(503, 9) == 9
    now = 2.0
    assert attempts.seconds_left == 8
    assert attempts.wait_after_status(503, 9) is None


def slow_server(listener: socket.socket) -> None:
    """Answer one request with a valid body that takes five seconds to arrive."""
    connection, _ = listener.accept()
    with connection:
        connection.recv(65_536)
        body = b'{"data": []}' + b" " * 238
        head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n"
        try:
            connection.sendall(head.encode())
            for place in range(len(body)):
                connection.sendall(body[place : place + 1])
                time.sleep(0.02)
        except OSError:
            pass  # the client has closed the connection


def test_a_body_that_arrives_too_slowly_ends_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=slow_server, args=(listener,))
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with Client(url, timeout=0.5, retries=ONCE) as client, pytest.raises(DeadlineExceeded):
            client.models()
        thread.join()


def test_a_compressed_response_is_decoded_once() -> None:
    body = gzip.compress(b'{"data": [{"id": "a/b", "task_type": "embedding", "owned_by": "a"}]}')
    with scripted(httpx.Response(200, headers={"content-encoding": "gzip"}, content=body)) as (
        client,
        _,
    ):
        assert [model.id for model in client.models()] == ["a/b"]


def test_each_call_carries_the_latest_registry_state() -> None:
    name = "Polyprefix-Registry-State"
    changed = [
        httpx.Response(200, headers={name: state}, json={"data": []}) for state in ("5", "12", "7")
    ]
    with scripted(*changed, MODELS) as (client, script):
        for _ in range(4):
            client.models()
    assert [request.headers.get(name) for request in script.requests] == [None, "5", "12", "12"]
