"""Shutdown of a server with open event streams, incomplete bodies and a running training."""

import asyncio
import signal
import socket
from pathlib import Path

import httpx
import pytest

from server.shutdown import Shutdown
from tests.server.hosting.processes import client, front_ends, server_process, store
from tests.server.rest import until
from tests.server.training_jobs.trainings import LONG, start_training
from tests.training.learnable_tasks import sentiment_rows, write_csv

__all__ = ["front_ends", "store"]


def begin(url: str, head: str, body: bytes = b"") -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=60)
    connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n" + body)
    return connection


def rest_of(connection: socket.socket) -> bytes:
    with connection:
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.skipif(
    signal.getsignal(signal.SIGHUP) is signal.SIG_IGN,
    reason="SIGHUP is ignored here, as under nohup, and servers respect that",
)
def test_sighup_drains_open_streams_and_incomplete_bodies(
    store: tuple[Path, str],
    backbone_folder: Path,
    front_ends: tuple[str, ...],
    tmp_path: Path,
) -> None:
    folder, key = store
    rows = write_csv(tmp_path / "rows.csv", sentiment_rows(60)).read_bytes()
    flags = ("--backbone", str(backbone_folder), *front_ends)
    keyed = f"Host: x\nAuthorization: Bearer {key}\n"
    with server_process(folder, *flags) as (process, url):
        with client(url, key) as sender:
            links = start_training(sender, rows, LONG).json()["links"]
            until(lambda: sender.get(links["self"]).json()["state"] == "running")
        events = begin(url, f"GET {links['events']} HTTP/1.1\n{keyed}")
        assert events.recv(4096).startswith(b"HTTP/1.1 200 ")
        kind = "Content-Type: application/json\nContent-Length: 1000\n"
        half = begin(url, f"POST /v1/classify HTTP/1.1\n{keyed}{kind}", b"{")
        assert httpx.get(f"{url}/readyz").status_code == 200
        process.send_signal(signal.SIGHUP)
        answer, stream = rest_of(half), rest_of(events)
        assert process.wait(timeout=120) == 0
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"engine_unavailable" in answer
    assert stream.endswith(b"0\r\n\r\n"), "the stream was cut off"
    assert not list((folder / "trainings").rglob("outcome.json"))


def test_sighup_stays_ignored_if_the_parent_ignores_it(
    store: tuple[Path, str], backbone_folder: Path, front_ends: tuple[str, ...]
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does; the child inherits it
    try:
        flags = ("--backbone", str(backbone_folder), *front_ends)
        with server_process(store[0], *flags, is_forked=False) as (process, url):
            process.send_signal(signal.SIGHUP)
            assert httpx.get(f"{url}/readyz").status_code == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_shutdown_expires_timeouts_before_and_after_it_begins() -> None:
    async def run() -> list[str]:
        shutdown = Shutdown()
        ends: list[str] = []
        are_waiting = asyncio.Event()

        async def wait() -> None:
            try:
                async with asyncio.timeout(3600) as timeout:
                    with shutdown.expiring(timeout):
                        are_waiting.set()
                        await asyncio.Event().wait()
            except TimeoutError:
                ends.append("cut")

        async def stream() -> None:
            assert await shutdown.wait(3600)
            ends.append("stream")

        async with asyncio.TaskGroup() as group:
            group.create_task(wait())
            group.create_task(stream())
            await are_waiting.wait()
            await shutdown.begin()
        await wait()
        return sorted(ends)

    assert asyncio.run(run()) == ["cut", "cut", "stream"]
