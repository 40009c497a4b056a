"""The process of a worker: how it is waited for and stopped. The scripts train nothing."""

import signal
import sys
from pathlib import Path

import pytest

from server.training_jobs import worker
from server.training_jobs.folders import TrainingFolder
from server.training_jobs.worker import WorkerProcess, start_worker_process
from tests.server.doubles import until

pytestmark = pytest.mark.anyio

SLEEP = "import time; print('ready', flush=True); time.sleep(600)"
EXIT_AT_SIGTERM = (
    f"import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(75)); {SLEEP}"
)
IGNORE_SIGTERM = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"


async def start(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> WorkerProcess:
    """Start a process that runs a script instead of a training."""
    monkeypatch.setattr(worker, "COMMAND", (sys.executable, "-c", script))
    return await start_worker_process(TrainingFolder(folder), num_threads=3, niceness=7)


async def start_and_await_output(
    monkeypatch: pytest.MonkeyPatch, folder: Path, script: str
) -> WorkerProcess:
    """Start a process, and wait until it has set its signal handler."""
    process = await start(monkeypatch, folder, script)
    log = TrainingFolder(folder).log
    await until(lambda: "ready" in log.read_text())
    return process


async def test_the_exit_code_of_a_worker_is_returned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = await start(monkeypatch, tmp_path, "raise SystemExit(74)")
    assert await process.wait(60) == 74


async def test_a_worker_gets_its_folder_threads_and_priority_and_writes_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "import os, sys; print(*sys.argv[1:]); sys.exit(os.environ['OMP_NUM_THREADS'])"
    process = await start(monkeypatch, tmp_path, script)
    assert await process.wait(60) == 1
    assert TrainingFolder(tmp_path).log.read_text().split() == [str(tmp_path), "7", "3"]


async def test_a_wait_for_a_running_worker_ends_without_an_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = await start(monkeypatch, tmp_path, SLEEP)
    assert await process.wait(0.01) is None
    await process.stop(within=60)


async def test_a_worker_is_stopped_by_sigterm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = await start_and_await_output(monkeypatch, tmp_path, EXIT_AT_SIGTERM)
    await process.stop(within=60)
    assert await process.wait(60) == 75


async def test_a_worker_that_ignores_sigterm_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = await start_and_await_output(monkeypatch, tmp_path, IGNORE_SIGTERM)
    await process.stop(within=0.1)
    assert await process.wait(60) == -signal.SIGKILL


async def test_a_worker_that_has_exited_can_be_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = await start(monkeypatch, tmp_path, "")
    assert await process.wait(60) == 0
    await process.stop(within=60)
