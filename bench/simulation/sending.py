"""Sending: the requests of a traffic to real servers, with the routers of the simulation."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import uvloop

from bench.load import Connection
from bench.processes import ServerFailed
from bench.simulation.replica import Request
from bench.simulation.routers import Router, View
from bench.simulation.servers import ReplicaServer
from bench.simulation.traffic import Floats, Traffic

_PATIENCE: Final = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Sent:
    """The latency of each request in seconds from its due time, and the client's CPU time."""

    arrivals: Floats
    latencies: Floats
    cpu: float


def send(
    traffic: Traffic, texts: Mapping[int, str], servers: Sequence[ReplicaServer], router: Router
) -> Sent:
    """Send all requests at their times, whether or not earlier ones were answered.

    Args:
        traffic: the requests.
        texts: a text of each number of tokens that occurs.
        servers: the replicas, which have the same tasks.
        router: chooses the replica of each request.

    Raises:
        ServerFailed: when a request is not answered with 200.
    """
    return uvloop.run(_Sending(traffic, texts, servers, router).run())


class _Sending:
    def __init__(
        self,
        traffic: Traffic,
        texts: Mapping[int, str],
        servers: Sequence[ReplicaServer],
        router: Router,
    ) -> None:
        numbers = range(len(servers))
        self._view = View(list(numbers), [0 for _ in numbers], [0 for _ in numbers])
        self._traffic = traffic
        self._servers = servers
        self._router = router
        self._idle: list[list[Connection]] = [[] for _ in numbers]
        self._latencies = np.full(len(traffic), np.nan)
        self._posts = [
            [_post(server, task, texts[tokens]) for server in servers]
            for task, tokens in zip(traffic.tasks.tolist(), traffic.tokens.tolist(), strict=True)
        ]

    async def run(self) -> Sent:
        requests = [
            Request(number, task, tokens)
            for number, (task, tokens) in enumerate(
                zip(self._traffic.tasks.tolist(), self._traffic.tokens.tolist(), strict=True)
            )
        ]
        cpu, started = time.process_time(), time.perf_counter()
        tasks = []
        for due, request in zip(self._traffic.arrivals.tolist(), requests, strict=True):
            await asyncio.sleep(max(0.0, started + due - time.perf_counter()))
            tasks.append(asyncio.create_task(self._send(request, started + due)))
        async with asyncio.timeout(_PATIENCE):
            await asyncio.gather(*tasks)
        cpu = time.process_time() - cpu
        for connection in (one for some in self._idle for one in some):
            await connection.close()
        return Sent(self._traffic.arrivals, self._latencies, cpu)

    async def _send(self, request: Request, due: float) -> None:
        view = self._view
        chosen = self._router.choose(request, view, due)
        view.requests[chosen] += 1
        view.tokens[chosen] += request.tokens
        idle = self._idle[chosen]
        connection = idle.pop() if idle else await self._connect(chosen)
        status = await connection.post(self._posts[request.number][chosen])
        self._latencies[request.number] = time.perf_counter() - due
        view.requests[chosen] -= 1
        view.tokens[chosen] -= request.tokens
        idle.append(connection)
        if status != "200":
            raise ServerFailed(f"a request was answered with {status}")

    async def _connect(self, number: int) -> Connection:
        server = self._servers[number].server
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, server.host, server.port)
        return connection


def _post(server: ReplicaServer, task: int, text: str) -> bytes:
    store = server.store
    content = json.dumps({"model": f"{store.tenant}/{store.tasks[task]}", "input": text}).encode()
    lines = (
        "POST /v1/classify HTTP/1.1",
        f"Host: {server.server.host}:{server.server.port}",
        "Content-Type: application/json",
        f"Authorization: Bearer {store.key}",
        f"Content-Length: {len(content)}",
    )
    return "\r\n".join((*lines, "", "")).encode() + content
