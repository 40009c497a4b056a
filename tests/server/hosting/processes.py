"""Server processes for tests, and calls to them."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from prefixes.registry import ApiKeys, open_registry
from tests.server.hosting.forking import ForkedProcess, fork_command

ROOT = Path(__file__).parents[3]
SERVE = (sys.executable, "-P", "-m", "server", "serve")

ServerProcess = subprocess.Popen[str] | ForkedProcess


@contextmanager
def server_process(
    store: Path,
    *flags: str,
    folder: Path = ROOT,
    prefix: tuple[str, ...] = (),
    is_forked: bool = True,
) -> Iterator[tuple[ServerProcess, str]]:
    """A server process on a free port, and its URL once it answers.

    Args:
        store: the store folder.
        flags: further flags of the command.
        folder: the working folder.
        prefix: a command that runs the command of the server. Its process is not forked.
        is_forked: whether the process is forked from one that has imported the server, which saves
            most of the CPU time of a start. Otherwise, the command is run as an operator runs it.
    """
    arguments = ["serve", "--port", "0", "--store-folder", str(store), *flags]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": str(ROOT),
    }
    process: ServerProcess
    if is_forked and not prefix:
        process = fork_command(arguments, folder=folder, environment=environment)
    else:
        process = subprocess.Popen(
            [*prefix, *SERVE[:-1], *arguments],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            found = re.search(r"listens on (https?://\S+);", line)
            if found:
                break
        else:
            pytest.fail(f"the server did not start: exit code {process.wait()}")
        yield process, found[1]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def store(tmp_path: Path) -> tuple[Path, str]:
    """An empty store with one tenant, and its key."""
    folder = tmp_path / "store"
    registry = open_registry(folder)
    registry.ensure_tenant("acme")
    key = ApiKeys(registry.database).issue("acme", "test").key
    registry.close()
    return folder, key


@pytest.fixture(params=[0, 2], ids=["alone", "front ends"])
def front_ends(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return ("--num-front-ends", str(request.param))


def client(url: str, key: str) -> httpx.Client:
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60)


def upload(client: httpx.Client, task: str, data: bytes) -> httpx.Response:
    path = f"/v1/tenants/acme/prefixes/{task}/versions"
    return client.post(path, files={"file": ("f", data)})


def is_running(process_id: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return " Z " not in Path(f"/proc/{process_id}/stat").read_text()
    except FileNotFoundError:
        return False
