"""The load generator, a separate process: HTTP requests in a closed or an open loop.

It reads a JSON object from standard input (`LoadPlan`) and writes one to standard output (`Load`).
"""

import asyncio
import itertools
import json
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Final, cast

import uvloop

_MAX_CONNECTIONS: Final = 512
_PATIENCE: Final = 30.0
"""Maximum seconds to wait for responses after the last request."""

_LOST: Final = "connection lost"


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """The requests to send to `host:port`: POST `path` with each of the `bodies` in turn.

    With a `rate` per second, requests are sent at random times, whether or not earlier ones were
    answered (an open loop). Otherwise, each of the `connections` sends its next request after its
    response (a closed loop), or after the time in `Retry-After` of a response that has one. The
    load ends after `seconds`, or in a closed loop after `count` requests. Responses within the
    `warm_up` before these seconds do not count, nor do those of a closed loop in the `cool_down`
    after them.
    """

    host: str
    port: int
    path: str
    bodies: list[str]
    headers: dict[str, str] = field(default_factory=dict)
    connections: int = 1
    rate: float | None = None
    seconds: float | None = None
    count: int | None = None
    warm_up: float = 0.0
    cool_down: float = 0.0


@dataclass(slots=True)
class Load:
    """The result of a load.

    `latencies` are in seconds, in order of the responses, from the time that a request was due.
    `errors` counts failures by status or reason.
    """

    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0
    num_sent: int = 0
    errors: dict[str, int] = field(default_factory=dict)

    def fail(self, kind: str) -> None:
        self.errors[kind] = self.errors.get(kind, 0) + 1


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request in flight."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[str] | None = None
        self.retry_after = 0.0  # seconds, from the last response
        self._lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's class is not a subclass

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._lost.set()
        self._settle(f"{_LOST}: {exc}")

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if end and len(body) >= int(_header(head, b"content-length") or 0):
            self._received = b""
            self.retry_after = float(_header(head, b"retry-after") or 0)
            self._settle(head[9:12].decode())

    async def post(self, request: bytes) -> str:
        """Send a request; return the status or the error."""
        if self._transport is None:
            return _LOST
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    async def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            await self._lost.wait()

    def _settle(self, status: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(status)


def _header(head: bytes, wanted: bytes) -> bytes | None:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == wanted:
            return value.strip()
    return None


async def run(plan: LoadPlan) -> Load:
    """Send the requests of a plan."""
    return await (_closed(plan) if plan.rate is None else _open(plan, plan.rate))


async def _closed(plan: LoadPlan) -> Load:
    load = Load()
    requests = _requests(plan)
    started = time.perf_counter()
    counted_from = started + plan.warm_up
    counted_until = float("inf") if plan.seconds is None else counted_from + plan.seconds
    until = counted_until + plan.cool_down

    async def send() -> None:
        connection = await _connect(plan)
        while time.perf_counter() < until and load.num_sent != plan.count:
            load.num_sent += 1
            sent = time.perf_counter()
            status = await connection.post(next(requests))
            done = time.perf_counter()
            if status != "200":
                load.fail(status)
                connection = connection if connection.is_open else await _connect(plan)
                pause = min(connection.retry_after, max(0.0, until - time.perf_counter()))
                await asyncio.sleep(pause)
            elif counted_from <= done <= counted_until:
                load.latencies.append(done - sent)
        await connection.close()

    await asyncio.gather(*(send() for _ in range(plan.connections)))
    load.seconds = min(counted_until, time.perf_counter()) - counted_from
    return load


async def _open(plan: LoadPlan, rate: float) -> Load:
    assert plan.seconds is not None
    load = Load()
    requests = _requests(plan)
    idle: list[Connection] = [await _connect(plan) for _ in range(plan.connections)]
    room = asyncio.Semaphore(_MAX_CONNECTIONS)

    async def send(due: float, *, counts: bool) -> None:
        async with room:
            request = next(requests)
            connection, status = await _post_idle(idle, request)
            if connection is None:
                connection = await _connect(plan)
                status = await connection.post(request)
            if connection.is_open:
                idle.append(connection)
        if status != "200":
            load.fail(status)
        elif counts:
            load.latencies.append(time.perf_counter() - due)

    tasks: set[asyncio.Task[None]] = set()
    started = time.perf_counter()
    for after in _moments(rate, plan.warm_up + plan.seconds):
        await asyncio.sleep(max(0.0, started + after - time.perf_counter()))
        task = asyncio.create_task(send(started + after, counts=after >= plan.warm_up))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        load.num_sent += 1
    _, late = await asyncio.wait(tasks, timeout=_PATIENCE) if tasks else (set(), set())
    for task in late:
        task.cancel()
        load.fail("no answer")
    for connection in idle:
        await connection.close()
    load.seconds = plan.seconds
    return load


async def _post_idle(
    idle: list[Connection], request: bytes
) -> tuple[Connection, str] | tuple[None, str]:
    """Send a request on an idle connection, if there is one.

    The server may close an idle connection just when it is used again. Like every client, this one
    then retries on a new connection (RFC 9112, section 9.3.1).
    """
    while idle:
        connection = idle.pop()
        if connection.is_open:
            status = await connection.post(request)
            return (None, status) if status.startswith(_LOST) else (connection, status)
    return None, _LOST


def _moments(rate: float, seconds: float) -> Iterator[float]:
    """Return the times of a Poisson process, which are the same in each run."""
    rng = random.Random(0)  # noqa: S311 - a benchmark, no secret
    moment = rng.expovariate(rate)
    while moment < seconds:
        yield moment
        moment += rng.expovariate(rate)


def _requests(plan: LoadPlan) -> Iterator[bytes]:
    """Serialize the request of each body, and repeat these endlessly."""
    fields = {"Host": f"{plan.host}:{plan.port}", "Content-Type": "application/json"}
    fields |= plan.headers
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    requests = []
    for body in plan.bodies:
        data = body.encode()
        head = f"POST {plan.path} HTTP/1.1\r\n{lines}Content-Length: {len(data)}\r\n\r\n"
        requests.append(head.encode() + data)
    return itertools.cycle(requests)


async def _connect(plan: LoadPlan) -> Connection:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, plan.host, plan.port)
    return connection


def main() -> None:
    plan: dict[str, Any] = json.load(sys.stdin)
    json.dump(asdict(uvloop.run(run(LoadPlan(**plan)))), sys.stdout)


if __name__ == "__main__":
    main()
