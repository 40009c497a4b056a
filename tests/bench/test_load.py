"""The load generator against a small server of the test's own."""

import asyncio
import contextlib
import json
import time
from typing import Any

import pytest

from bench.load import Load, LoadPlan, run
from bench.servers import Sending

_STATUSES = {
    "broken": b"500 Internal Server Error",
    "busy": b"429 Too Many Requests\r\nRetry-After: 1",
    "very busy": b"429 Too Many Requests\r\nRetry-After: 60",
}


class Echo:
    """Answers every POST in two pieces, with 200 or the status that its body asks for."""

    def __init__(self) -> None:
        self.tasks: list[str] = []
        self.handlers: list[asyncio.Task[None] | None] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.handlers.append(asyncio.current_task())
        try:
            while True:
                await self.answer(reader, writer)
        except asyncio.IncompleteReadError:
            writer.close()
            await writer.wait_closed()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        task = json.loads(await reader.readexactly(length))["task"]
        self.tasks.append(task)
        status = _STATUSES.get(task, b"200 OK")
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 4\r\n\r\nab")
        await writer.drain()
        await asyncio.sleep(0)
        writer.write(b"cd")
        await writer.drain()


def sent(echo: Echo, tasks: list[str], **how: float) -> Load:
    async def serve_and_send() -> Load:
        async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            bodies = [json.dumps({"task": task}) for task in tasks]
            plan: dict[str, Any] = {
                "host": "127.0.0.1",
                "port": port,
                "path": "/",
                "bodies": bodies,
                **how,
            }
            load = await run(LoadPlan(**plan))
            await asyncio.wait([handler for handler in echo.handlers if handler is not None])
            return load

    return asyncio.run(serve_and_send())


def test_a_closed_loop_asks_each_body_in_turn_until_the_count_is_full() -> None:
    echo = Echo()
    load = sent(echo, ["a", "b", "c"], connections=1, count=5)
    assert echo.tasks == ["a", "b", "c", "a", "b"]
    assert len(load.latencies) == load.num_sent == 5
    assert not load.errors


def test_connections_are_kept_and_shared_between_requests() -> None:
    echo = Echo()
    sent(echo, ["a"], connections=3, count=30)
    assert len(echo.handlers) == 3
    assert len(echo.tasks) == 30


def test_answers_other_than_200_count_as_errors_and_not_as_latencies() -> None:
    load = sent(Echo(), ["a", "broken"], connections=1, count=6)
    assert load.errors == {"500": 3}
    assert len(load.latencies) == 3


def test_an_open_loop_sends_its_requests_and_waits_for_their_answers() -> None:
    echo = Echo()
    load = sent(echo, ["a"], connections=1, rate=200.0, seconds=0.2)
    assert len(load.latencies) == load.num_sent == len(echo.tasks) > 0
    assert not load.errors


def test_an_open_loop_leaves_connections_that_the_server_has_closed() -> None:
    class Impatient(Echo):
        """Closes each connection after one answer."""

        async def __call__(
            self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            self.handlers.append(asyncio.current_task())
            with contextlib.suppress(asyncio.IncompleteReadError):  # it was never asked
                await self.answer(reader, writer)
            writer.close()
            await writer.wait_closed()

    # So many a second that some come between an answer and the news that its connection is closed.
    load = sent(Impatient(), ["a"], connections=4, rate=2000.0, seconds=0.5)
    assert load.errors == {}
    assert len(load.latencies) == load.num_sent


def test_a_long_load_ends_though_nobody_reads_its_result_yet() -> None:
    echo = Echo()

    def send_many(port: int) -> Load:
        plan = LoadPlan("127.0.0.1", port, "/", ['{"task": "a"}'], connections=8, count=6000)
        sending = Sending(plan)  # latencies of some 20 digits each: more than a pipe holds
        deadline = time.monotonic() + 60
        while not sending.is_done:
            assert time.monotonic() < deadline, "it never ended"
            time.sleep(0.01)
        return sending.result()

    async def serve_and_send() -> Load:
        async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            load = await asyncio.to_thread(send_many, port)
            await asyncio.wait([handler for handler in echo.handlers if handler is not None])
            return load

    load = asyncio.run(serve_and_send())
    assert len(load.latencies) == load.num_sent == 6000


def test_a_connection_waits_for_the_time_in_retry_after() -> None:
    echo = Echo()
    started = time.perf_counter()
    load = sent(echo, ["busy", "fine"], connections=1, count=2)
    assert time.perf_counter() - started >= 1
    assert (load.errors, len(load.latencies)) == ({"429": 1}, 1)


def test_no_time_in_retry_after_makes_a_load_longer() -> None:
    started = time.perf_counter()
    sent(Echo(), ["very busy"], connections=1, seconds=0.2)
    assert time.perf_counter() - started < 30


def test_answers_while_a_load_warms_up_or_cools_down_do_not_count() -> None:
    load = sent(Echo(), ["a"], connections=1, warm_up=0.2, seconds=0.1, cool_down=0.2)
    assert load.seconds == pytest.approx(0.1)
    assert 0 < len(load.latencies) < load.num_sent
    assert sum(load.latencies) <= 0.2  # those of one connection do not overlap
