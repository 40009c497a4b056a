import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading

import httpx
import pytest

from server.errors import AddressUnavailable
from server.hosting.draining import DrainingServer
from server.hosting.listener import bind
from tests.server.conftest import Serve
from tests.server.rest import until

BODY = {"model": "examples/mood", "input": "good"}


@pytest.mark.parametrize("route", ["/v1/classify", "/classify", "/predict"])
def test_work_is_canceled_when_its_client_disconnects(serve: Serve, route: str) -> None:
    rest, engine = serve()
    engine.hold()
    body = BODY | {"inputs": "good"} if route == "/predict" else BODY
    if route == "/predict":
        body.pop("input")
    with contextlib.suppress(httpx.ReadTimeout), httpx.Client(timeout=0.2) as client:
        client.post(rest.url + route, json=body)
    until(lambda: engine.num_cancelled == 1)
    assert engine.num_waiting == 0
    metrics = rest.call("GET", "/metrics").text
    assert f'polyprefix_requests_total{{route="{route}",status="499"}} 1.0' in metrics


def test_a_client_that_waits_is_answered(serve: Serve) -> None:
    rest, engine = serve()
    engine.hold()
    answers = []
    sender = threading.Thread(
        target=lambda: answers.append(rest.call("POST", "/v1/classify", json=BODY))
    )
    sender.start()
    until(lambda: engine.num_waiting == 1)
    engine.release()
    sender.join()
    assert answers[0].status_code == 200
    assert engine.num_cancelled == 0


def test_readyz_says_why_the_server_is_not_ready(serve: Serve) -> None:
    rest, engine = serve()
    assert rest.call("GET", "/readyz").json() == {"status": "ready"}
    engine.problem = "the device failed: out of memory"
    response = rest.call("GET", "/readyz")
    assert (response.status_code, response.json()["code"]) == (503, "not_ready")
    assert "out of memory" in response.json()["detail"]
    assert response.headers["retry-after"]
    assert rest.call("GET", "/livez").status_code == 200


def test_an_unreadable_store_makes_the_server_unready_without_naming_its_path(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    rest, _ = serve()
    rest.registry.database.close()
    for path in rest.folder.glob("registry.db*"):
        path.unlink()
    rest.folder.joinpath("registry.db").mkdir()
    response = rest.call("GET", "/readyz")
    assert response.status_code == 503
    assert "database" in response.json()["detail"]
    assert "registry.db" not in response.text
    assert str(rest.folder) not in response.text
    assert any("registry.db" in record.getMessage() for record in caplog.records)


def test_an_address_in_use_is_an_error_with_advice() -> None:
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(AddressUnavailable, match=r"in use.*--port"):
            bind("127.0.0.1", taken.getsockname()[1])


def test_an_address_of_another_machine_is_an_error() -> None:
    with pytest.raises(AddressUnavailable, match=r"Cannot listen on 192\.0\.2\.1"):
        bind("192.0.2.1", 0)


def test_port_0_binds_a_free_port() -> None:
    with bind("127.0.0.1", 0) as bound:
        assert bound.getsockname()[1] > 0
        assert bound.family == socket.AF_INET


def test_the_first_signal_drains_and_the_second_exits() -> None:
    drained: list[str] = []

    async def app(scope: object, receive: object, send: object) -> None:
        raise AssertionError("nobody calls")

    async def never() -> None:
        drained.append("began")
        await asyncio.Event().wait()

    server = DrainingServer(
        app,
        drain=never,
        drain_seconds=3600,
        announce=lambda: os.kill(os.getpid(), signal.SIGTERM),
    )

    def signal_again() -> None:
        until(lambda: bool(drained))
        os.kill(os.getpid(), signal.SIGTERM)

    with bind("127.0.0.1", 0) as listener:
        again = threading.Thread(target=signal_again)
        again.start()
        server.run(sockets=[listener])
        again.join()
    assert drained == ["began"]


def test_draining_ends_when_its_time_is_over() -> None:
    async def app(scope: object, receive: object, send: object) -> None:
        raise AssertionError("nobody calls")

    async def never() -> None:
        await asyncio.Event().wait()

    server = DrainingServer(
        app,
        drain=never,
        drain_seconds=0.05,
        announce=lambda: os.kill(os.getpid(), signal.SIGTERM),
    )
    with bind("127.0.0.1", 0) as listener:
        server.run(sockets=[listener])
    assert not server.force_exit


_FROZEN = """
import asyncio, gc
from server.hosting.draining import DrainingServer
from server.hosting.listener import bind

async def app(scope, receive, send):
    raise RuntimeError("it has no lifespan, and nobody asks it")

async def drain():
    pass

def announce():
    print(gc.get_freeze_count())
    server.should_exit = True

server = DrainingServer(app, drain=drain, drain_seconds=1, announce=announce)
server.run(sockets=[bind("127.0.0.1", 0)])
"""


def test_objects_of_the_startup_are_excluded_from_garbage_collection() -> None:
    program = subprocess.run(
        [sys.executable, "-c", _FROZEN], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(program.stdout) > 10_000
