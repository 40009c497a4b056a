"""Front ends as processes: replaced when they exit, stopped with the engine's process."""

import asyncio
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from prefixes.backbone import Backbone
from prefixes.registry import COMMAND_LINE, LimitStore, open_registry
from prefixes.registry.limits import LimitChanges
from server.errors import FrontEndFailed
from server.hosting.front_ends import supervisor
from server.hosting.front_ends.channel import Channel
from server.hosting.front_ends.messages import Welcome
from server.hosting.front_ends.shared_changes import shared_file
from server.settings import Settings
from tests.factories import make_prefix, with_golden
from tests.server.hosting.processes import client, is_running, server_process, store, upload
from tests.server.rest import until

__all__ = ["store"]


def children(process_id: int) -> list[int]:
    listed = Path(f"/proc/{process_id}/task/{process_id}/children").read_text()
    return [
        int(child)
        for child in listed.split()
        if b"front_end" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


@pytest.fixture
def flags(backbone_folder: Path) -> tuple[str, ...]:
    return ("--backbone", str(backbone_folder), "--num-front-ends", "2")


def test_a_front_end_that_is_killed_is_replaced(
    store: tuple[Path, str], flags: tuple[str, ...], backbone: Backbone
) -> None:
    folder, key = store
    data = with_golden(backbone, make_prefix(backbone.fingerprint), ("a good film",)).to_bytes()
    body = {"model": "mood", "input": "a good film"}
    with server_process(folder, *flags) as (process, url), client(url, key) as sender:
        assert upload(sender, "mood", data).status_code == 201
        before = children(process.pid)
        assert len(before) == 2
        for victim in before:
            os.kill(victim, signal.SIGKILL)
        # The request waits on the socket until a replacement accepts it.
        answer = httpx.post(
            f"{url}/v1/classify", json=body, headers=dict(sender.headers), timeout=60
        )
        assert answer.status_code == 200
        until(lambda: len(set(children(process.pid)) - set(before)) == 2)
        until(lambda: "polyprefix_front_ends 2.0" in httpx.get(f"{url}/metrics").text)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def test_modules_in_the_working_folder_are_not_imported(
    store: tuple[Path, str], flags: tuple[str, ...], tmp_path: Path
) -> None:
    trap = tmp_path / "trap"
    trap.mkdir()
    for name in ("server", "types", "uvicorn", "prefixes"):
        (trap / f"{name}.py").write_text("raise SystemExit('imported from the working folder')")
    with server_process(store[0], *flags, folder=trap, is_forked=False) as (process, url):
        assert httpx.get(f"{url}/readyz").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


@pytest.mark.anyio
async def test_front_ends_that_cannot_start_are_an_error_without_retries(
    monkeypatch: pytest.MonkeyPatch, backbone: Backbone
) -> None:
    monkeypatch.setattr(supervisor, "_MODULE", "server.hosting.front_ends.messages")  # it just ends

    async def serve(channel: Channel) -> None:
        await channel.receive()

    with socket.socket() as listener, shared_file() as changes:
        welcome = Welcome(Settings(), backbone.fingerprint)
        starting = supervisor.Supervisor(2, listener, changes, welcome, serve)
        with pytest.raises(FrontEndFailed):
            await asyncio.wait_for(starting.start(), 60)
        assert starting.num_running == 0


def test_requests_to_all_front_ends_are_counted_together(
    store: tuple[Path, str], flags: tuple[str, ...]
) -> None:
    with server_process(store[0], *flags) as (_, url):
        for _ in range(20):
            assert httpx.get(f"{url}/livez").status_code == 200
        shown = httpx.get(f"{url}/metrics").text
        assert 'polyprefix_requests_total{route="/livez",status="200"} 20.0' in shown


def test_front_ends_share_the_limits_of_a_tenant(
    store: tuple[Path, str], flags: tuple[str, ...], backbone: Backbone
) -> None:
    folder, key = store
    with closing(open_registry(folder)) as registry:
        a_burst_of_one: LimitChanges = {"requests_per_second": 0.001}
        LimitStore(registry.database).change_tenant("acme", a_burst_of_one, by=COMMAND_LINE)
    with server_process(folder, *flags) as (_, url), client(url, key) as sender:
        data = make_prefix(backbone.fingerprint).to_bytes()
        assert upload(sender, "mood", data).status_code == 201

        def classify(_: int) -> int:
            body = {"model": "mood", "input": "a good film"}
            with client(url, key) as other:  # each connection goes to either front end
                response = other.post("/v1/classify", json=body)
            assert response.headers["RateLimit-Policy"] == '"tenant-requests";q=1;w=1000'
            return response.status_code

        with ThreadPoolExecutor(16) as threads:
            assert sorted(threads.map(classify, range(32))) == [200] + [429] * 31


def test_front_ends_exit_with_the_process_of_the_engine(
    store: tuple[Path, str], flags: tuple[str, ...]
) -> None:
    with server_process(store[0], *flags) as (process, _):
        ours = children(process.pid)
        assert len(ours) == 2
        process.kill()
        process.wait()
        until(lambda: not any(is_running(one) for one in ours))
