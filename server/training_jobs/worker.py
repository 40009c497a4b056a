"""Worker: the process that trains. The server starts it, waits for it and stops it."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from typing import Final, Protocol

from server.training_jobs.folders import TrainingFolder
from training.service.protocol.worker import COMMAND

_SECONDS_TO_STOP: Final = 20.0


class Worker(Protocol):
    """A running worker."""

    async def wait(self, seconds: float) -> int | None:
        """Wait that long for its exit code; None when it is still running."""

    async def stop(self, *, within: float) -> None:
        """Stop it at its next step, with a checkpoint; kill it after that many seconds."""


class StartWorker(Protocol):
    """Starts a worker for the job in a folder."""

    async def __call__(
        self, folder: TrainingFolder, *, num_threads: int, niceness: int
    ) -> Worker: ...


async def start_worker_process(
    folder: TrainingFolder, *, num_threads: int, niceness: int
) -> "WorkerProcess":
    """Start a process for the job in a folder, which raises its nice value by `niceness`."""
    with folder.log.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            str(folder.path),
            str(niceness),
            stdin=asyncio.subprocess.PIPE,
            stdout=log,
            stderr=log,
            # Linux shares processors among sessions: see `training.service.worker`, which lowers
            # the priority of its own session.
            start_new_session=True,
            env={
                **os.environ,
                "OMP_NUM_THREADS": str(num_threads),
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
        )
    return WorkerProcess(process)


class WorkerProcess:
    """A process in a session of its own. Belongs to the event loop.

    Its standard input is a pipe from this process. When this process dies, the pipe closes and the
    worker stops.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def wait(self, seconds: float) -> int | None:
        try:
            return await asyncio.wait_for(self._process.wait(), seconds)
        except TimeoutError:
            return None

    async def stop(self, *, within: float) -> None:
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        if await self.wait(min(within, _SECONDS_TO_STOP)) is None:
            with suppress(ProcessLookupError):  # it has just exited
                self._process.kill()
            await self._process.wait()
