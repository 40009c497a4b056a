import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import httpx
import pytest

from server.hosting import draining
from server.hosting.draining import DrainingServer
from server.hosting.listener import bind
from tests.server.rest import until


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
    assert gc.isenabled()
    print(gc.get_freeze_count())
    server.should_exit = True

gc.disable()  # as the command `serve` does
server = DrainingServer(app, drain=drain, drain_seconds=1, announce=announce)
server.run(sockets=[bind("127.0.0.1", 0)])
"""


def test_objects_of_the_startup_are_excluded_from_garbage_collection() -> None:
    program = subprocess.run(
        [sys.executable, "-c", _FROZEN], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(program.stdout) > 10_000


def test_requests_on_open_connections_are_answered_after_draining(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(draining, "LINGER_SECONDS", 3600.0)
    drained = threading.Event()
    codes: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        status = 503 if drained.is_set() else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def drain() -> None:
        drained.set()

    def call(url: str) -> None:
        with httpx.Client() as client:
            codes.append(client.get(url).status_code)
            os.kill(os.getpid(), signal.SIGTERM)
            assert drained.wait(30)
            time.sleep(0.5)  # a server that does not linger has closed the connection by then
            codes.append(client.get(url).status_code)
            os.kill(os.getpid(), signal.SIGTERM)

    server = DrainingServer(app, drain=drain, drain_seconds=3600, announce=lambda: caller.start())  # noqa: PLW0108 - made below
    server.config.lifespan = "off"
    with bind("127.0.0.1", 0) as listener:
        caller = threading.Thread(
            target=call, args=[f"http://127.0.0.1:{listener.getsockname()[1]}"]
        )
        server.run(sockets=[listener])
        caller.join()
    assert codes == [200, 503]


def test_a_server_without_connections_does_not_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    async def app(scope: object, receive: object, send: object) -> None:
        raise AssertionError("nobody calls")

    async def drain() -> None:
        pass

    monkeypatch.setattr(draining, "LINGER_SECONDS", 3600.0)
    server = DrainingServer(
        app,
        drain=drain,
        drain_seconds=3600,
        announce=lambda: os.kill(os.getpid(), signal.SIGTERM),
    )
    with bind("127.0.0.1", 0) as listener:
        server.run(sockets=[listener])
    assert not server.force_exit
