"""Two server processes that share a database and a store, and jobs that last as long as needed."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from prefixes.backbone import Backbone
from prefixes.registry import COMMAND_LINE, ApiKeys, LimitStore, PrefixRegistry, open_registry
from prefixes.s3.settings import BucketSettings
from tests.factories import make_prefix
from tests.server.batch_files.test_service import JSONL, ROUTE, lines_of
from tests.server.hosting.processes import ServerProcess, client, server_process
from tests.server.rest import put, until
from tests.server.training_jobs.trainings import SECONDS, worker_of
from training.service.protocol.worker import EVENTS, OUTCOME

NUM_ROWS: Final = 400
_TOKENS_PER_SECOND: Final = 4
"""A row has about 5 tokens, so that a batch file lasts for minutes, however fast the machine is."""


@dataclass(frozen=True)
class ServerPair:
    """A store folder for each server, which may be the same, and a key of acme."""

    registry: PrefixRegistry
    first: Path
    second: Path
    key: str
    flags: tuple[str, ...]

    @contextmanager
    def server(self, folder: Path) -> Iterator[tuple[ServerProcess, httpx.Client]]:
        """A server process with its store in a folder, and a client of acme."""
        with (
            server_process(folder, *self.flags) as (process, url),
            client(url, self.key) as sender,
        ):
            yield process, sender

    def slow_batches_down(self) -> None:
        """Limit the tokens of acme: a batch file cannot end before a test kills a server."""
        self._limit(_TOKENS_PER_SECOND)

    def speed_batches_up(self) -> None:
        """Remove that limit. A running batch file reads it again at its next checkpoint."""
        self._limit(None)

    def _limit(self, rate: float | None) -> None:
        limits = LimitStore(self.registry.database)
        limits.change_tenant("acme", {"tokens_per_second": rate}, by=COMMAND_LINE)


@contextmanager
def server_pair(
    folders: tuple[Path, Path],
    backbone: Backbone,
    backbone_folder: Path,
    *,
    database_url: str,
    bucket: BucketSettings | None = None,
) -> Iterator[ServerPair]:
    """Prepare a database and a store that have the task acme/tone."""
    registry = open_registry(folders[0], database_url=database_url, bucket=bucket)
    registry.ensure_tenant("acme")
    put(registry, "acme/tone", make_prefix(backbone.fingerprint, seed=1))
    key = ApiKeys(registry.database).issue("acme", "test").key
    yield ServerPair(registry, *folders, key, ("--backbone", str(backbone_folder)))
    registry.close()


def add_batch(sender: httpx.Client) -> str:
    """Add a batch file of `NUM_ROWS` rows; return its path."""
    rows = [{"id": number, "text": f"good {number}"} for number in range(NUM_ROWS)]
    added = sender.post(ROUTE, params={"model": "tone"}, content=lines_of(rows), headers=JSONL)
    path: str = added.json()["links"]["self"]
    return path


def wait_for_progress(sender: httpx.Client, path: str, *, beyond: int = 0) -> dict[str, Any]:
    """Wait until a batch file has more than so many results."""
    deadline = time.monotonic() + 600
    while (shown := sender.get(path).json())["num_done"] <= beyond:
        assert time.monotonic() < deadline, shown
        time.sleep(0.05)
    found: dict[str, Any] = shown
    return found


class SuspendedWorkers:
    """Workers of trainings that a test suspends, so that a training cannot end before a kill."""

    def __init__(self) -> None:
        self._ids: list[int] = []

    def suspend(self, training: str) -> int:
        """Suspend the worker of a training once it has taken a step; return its process id."""
        until(lambda: worker_of(training) is not None, seconds=SECONDS)
        worker = worker_of(training)
        assert worker is not None, "the worker has ended at once"
        until(lambda: _has_progress(worker), seconds=SECONDS)
        os.kill(worker, signal.SIGSTOP)
        self._ids.append(worker)
        assert not (_folder_of(worker) / OUTCOME).exists(), "it must be suspended before its end"
        return worker

    def resume(self, worker: int) -> None:
        """Let a worker continue."""
        os.kill(worker, signal.SIGCONT)
        self._ids.remove(worker)

    def kill(self) -> None:
        """Kill those that a failed test left suspended."""
        for worker in self._ids:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)


def _has_progress(worker: int) -> bool:
    try:
        return b'"step"' in (_folder_of(worker) / EVENTS).read_bytes()
    except FileNotFoundError:
        return False


def _folder_of(worker: int) -> Path:
    return Path(f"/proc/{worker}/cwd")
