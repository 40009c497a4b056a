"""Request bodies: reserved memory stays within limits and is always returned."""

import asyncio
import gzip
import json
import socket
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.types import Message, Scope

from prefixes.backbone import Backbone
from server.api.middleware.bodies import BodyBounds, BodyBudgets, IncomingBody
from server.api.middleware.budgets import BudgetExceeded, Reservation
from server.api.middleware.networks import network_of
from server.shutdown import Shutdown
from tests.factories import make_prefix
from tests.server.conftest import Serve
from tests.server.rest import FakeEngine, Rest, new_registry, put, serving, until
from tests.server.test_bad_requests import check_problem

BODY = {"model": "examples/mood", "input": "good"}
LIMIT = 100


@dataclass
class Sender:
    """Sends the pieces of a body, as a server's protocol passes them on."""

    caller: str | None
    address: str
    pieces: Sequence[bytes]
    leaves_early: bool
    is_gzip: bool
    sent: list[int] = field(default_factory=list)

    @property
    def scope(self) -> Scope:
        headers = [(b"content-encoding", b"gzip")] if self.is_gzip else []
        return {"type": "http", "client": (self.address, 1), "headers": headers}

    async def receive(self) -> Message:
        place = len(self.sent)
        self.sent.append(place)
        if place >= len(self.pieces):
            return {"type": "http.disconnect"}
        is_last = place == len(self.pieces) - 1 and not self.leaves_early
        return {"type": "http.request", "body": self.pieces[place], "more_body": not is_last}


SENDERS = st.builds(
    Sender,
    caller=st.sampled_from([None, None, "acme", "operator 1"]),
    address=st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1"]),
    pieces=st.lists(st.binary(max_size=80) | st.just(gzip.compress(b"x" * 90)), max_size=5),
    leaves_early=st.booleans(),
    is_gzip=st.booleans(),
)


@given(st.lists(SENDERS, max_size=60), st.randoms(use_true_random=False))
def test_any_mix_of_bodies_errors_and_disconnects_returns_all_memory(
    senders: list[Sender], order: Any
) -> None:
    bounds = BodyBounds(LIMIT, 60, 60, is_in_memory=True)
    budgets = BodyBudgets.for_bodies_of(LIMIT)
    capacity = 64 * LIMIT

    async def run() -> None:
        open_bodies: dict[int, tuple[IncomingBody, ExitStack]] = {}
        waiting = list(range(len(senders)))
        while waiting or open_bodies:
            place = order.choice([*waiting, *open_bodies])
            if place in waiting:
                waiting.remove(place)
                sender = senders[place]
                body = IncomingBody(sender.scope, sender.receive, bounds, budgets, Shutdown())
                body.caller = sender.caller
                stack = ExitStack()
                stack.enter_context(body)
                open_bodies[place] = (body, stack)
                continue
            body, stack = open_bodies[place]
            try:
                message = await body.receive()
                is_done = message["type"] != "http.request"
            except HTTPException:
                is_done = True
            assert 0 <= budgets.keyed.num_reserved + budgets.anonymous.num_reserved <= capacity
            if is_done:
                del open_bodies[place]
                stack.close()

    asyncio.run(run())
    assert budgets.keyed.num_reserved == budgets.anonymous.num_reserved == 0


@given(st.integers(1, 10), st.integers(1000, 9000))
def test_greedy_callers_leave_memory_for_the_next(num_greedy: int, size: int) -> None:
    budgets = BodyBudgets.for_bodies_of(size)

    def greedy(reservation: Reservation) -> None:
        with suppress(BudgetExceeded):
            while True:
                reservation.grow(10)

    reservations = [budgets.keyed.reserve(f"t{number}") for number in range(num_greedy)]
    for reservation in reservations:
        greedy(reservation)
    budgets.keyed.reserve("next").grow(1)
    budgets.anonymous.reserve("192.0.2.1").grow(size)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("unix", "unix", True),
    ],
)
def test_an_anonymous_caller_is_an_address_or_a_network(
    one: str,
    other: str,
    is_same: bool,  # noqa: FBT001 - pytest
) -> None:
    assert (network_of(one) == network_of(other)) is is_same


@contextmanager
def half_a_body(rest: Rest, num_bytes: int, key: str | None = None) -> Iterator[socket.socket]:
    """Announce a body and leave out its last byte."""
    host, port = rest.url.removeprefix("http://").split(":")
    keyed = f"Authorization: Bearer {rest.keys[key]}\r\n" if key else ""
    head = (
        f"POST /v1/classify HTTP/1.1\r\nHost: x\r\n{keyed}Content-Type: application/json\r\n"
        f"Content-Length: {num_bytes}\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head.encode() + b" " * (num_bytes - 1))
        yield connection


def answered(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def test_stalled_anonymous_callers_do_not_block_others(serve: Serve) -> None:
    rest, _ = serve(max_body_kib=8, body_stall_seconds=3)
    with ExitStack() as stalled:
        held = [stalled.enter_context(half_a_body(rest, 8192)) for _ in range(64)]
        refused = [one for one in held if is_refused(one)]
        assert refused, "one address may not hold 64 of the largest bodies"
        assert rest.call("POST", "/v1/classify", "acme", json=BODY).status_code == 200
        until(lambda: rest.call("POST", "/v1/classify", json=BODY).status_code == 200)
        statuses = {answered(one)[9:12] for one in held if one not in refused}
    assert statuses == {b"408"}
    assert rest.call("POST", "/v1/classify", json=BODY).status_code == 200


def test_operators_do_not_share_the_memory_of_anonymous_callers(serve: Serve) -> None:
    rest, _ = serve(max_body_kib=8, body_stall_seconds=60)
    with ExitStack() as stalled:
        held = [stalled.enter_context(half_a_body(rest, 8192)) for _ in range(16)]
        until(lambda: any(map(is_refused, held)))
        operators = [stalled.enter_context(half_a_body(rest, 8192, "operator")) for _ in range(24)]
        name = {"name": "new"}
        assert rest.call("POST", "/v1/tenants", "operator", json=name).status_code == 201
        assert not any(map(is_refused, operators))


def is_refused(connection: socket.socket) -> bool:
    connection.settimeout(0.02)
    try:
        return bool(connection.recv(65536, socket.MSG_PEEK))
    except TimeoutError:
        return False
    finally:
        connection.settimeout(30)


def test_rejected_bodies_return_their_memory(serve: Serve) -> None:
    rest, _ = serve(max_body_kib=8, body_stall_seconds=60)

    def too_much() -> Iterator[bytes]:
        for _ in range(3):
            yield b" " * 4096

    with rest.client() as client:
        for _ in range(100):
            headers = {"Content-Type": "application/json"}
            response = client.post("/v1/classify", content=too_much(), headers=headers)
            check_problem(response, 413, "body_too_large")
    with ExitStack() as stalled:
        held = [stalled.enter_context(half_a_body(rest, 8192)) for _ in range(40)]
        until(lambda: sum(map(is_refused, held)) == 40 - 8)


def test_a_stalled_body_is_rejected_before_its_request_times_out(serve: Serve) -> None:
    rest, engine = serve(body_stall_seconds=0.2, request_timeout_seconds=3600)
    with half_a_body(rest, 100) as connection:
        answer = answered(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert "16384 bytes every 0.2 seconds" in json.loads(answer.partition(b"\r\n\r\n")[2])["detail"]
    assert engine.num_calls == 0


@pytest.mark.parametrize("kind", ["prefixes/new/versions", "trainings"])
def test_a_stalled_file_loses_its_slot(serve: Serve, kind: str) -> None:
    rest, _ = serve(body_stall_seconds=0.2)
    host, port = rest.url.removeprefix("http://").split(":")
    head = (
        f"POST /v1/tenants/acme/{kind} HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {rest.keys['acme']}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 500000\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="file"; filename="f.csv"\r\n\r\nabc'
    )
    files = rest.files()
    for _ in range(5):
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(head.encode())
            assert answered(connection).startswith(b"HTTP/1.1 408 ")
    assert rest.files() == files


def test_without_public_prefixes_an_anonymous_caller_is_rejected_before_the_body(
    backbone: Backbone, tmp_path: Any
) -> None:
    registry, keys = new_registry(tmp_path)
    put(registry, "acme/mood", make_prefix(backbone.fingerprint))
    with serving(tmp_path, backbone, FakeEngine(registry)) as rest:
        rest.keys |= keys
        with half_a_body(rest, 10_000) as connection:
            connection.settimeout(20)
            assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")
        put(registry, "examples/mood", make_prefix(backbone.fingerprint, seed=2))
        assert rest.call("POST", "/v1/classify", json=BODY).status_code == 200


def test_a_change_without_a_key_is_rejected_before_the_body(rest: Rest) -> None:
    host, port = rest.url.removeprefix("http://").split(":")
    head = (
        "PUT /v1/tenants/acme/prefixes/mood/aliases/live HTTP/1.1\r\nHost: x\r\n"
        "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    )
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")


def packed(content: bytes, **headers: str) -> dict[str, Any]:
    kind = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    return {"content": content, "headers": kind | headers}


@pytest.mark.parametrize("route", ["/v1/classify", "/classify"])
def test_a_gzip_body_is_decompressed(rest: Rest, route: str) -> None:
    content = gzip.compress(json.dumps(BODY).encode())
    assert rest.call("POST", route, **packed(content)).status_code == 200
    pieces = (content[place : place + 7] for place in range(0, len(content), 7))
    assert rest.call("POST", route, **packed(pieces)).status_code == 200  # type: ignore[arg-type]


def test_a_gzip_upload_is_decompressed(rest: Rest, backbone: Backbone) -> None:
    data = make_prefix(backbone.fingerprint, seed=77).to_bytes()
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + data
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    how = packed(gzip.compress(form + b"\r\n--b--\r\n"), **headers)
    response = rest.call("POST", "/v1/tenants/acme/prefixes/gzip/versions", "acme", **how)
    assert response.status_code == 201, response.text


def test_a_gzip_bomb_is_too_large(rest: Rest) -> None:
    bomb = zlib.compressobj(9, wbits=31)
    content = b"".join(bomb.compress(b" " * 2**20) for _ in range(40)) + bomb.flush()
    assert len(content) < 64 * 1024
    check_problem(rest.call("POST", "/v1/classify", **packed(content)), 413, "body_too_large")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{}", "not valid gzip"),
        (gzip.compress(b"{}", mtime=0)[:-4], "ends early"),
        (gzip.compress(b"{}", mtime=0) + b"x", "bytes follow"),
    ],
)
def test_a_body_that_is_not_valid_gzip_is_rejected(
    rest: Rest, content: bytes, message: str
) -> None:
    response = rest.call("POST", "/v1/classify", **packed(content))
    assert message in check_problem(response, 400, "malformed_request")["detail"]


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, gzip"])
def test_another_content_coding_is_rejected_and_gzip_is_suggested(rest: Rest, coding: str) -> None:
    response = rest.call("POST", "/v1/classify", **packed(b"{}", **{"Content-Encoding": coding}))
    check_problem(response, 415, "unsupported_encoding")
    assert response.headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize("route", ["/v1/classify", "/classify"])
def test_a_body_that_is_not_utf8_is_rejected_naming_the_byte(rest: Rest, route: str) -> None:
    content = json.dumps(BODY).encode().replace(b"good", b"caf\xe9")
    headers = {"Content-Type": "application/json"}
    response = rest.call("POST", route, content=content, headers=headers)
    place = content.index(b"\xe9")
    detail = check_problem(response, 400, "malformed_request")["detail"]
    assert f"byte {place}" in detail
    assert "UTF-8" in detail
