"""Worker: the process that trains, started, watched and ended."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from server.training_jobs.folders import TrainingFolder

STOPPED: Final = 75
"""Its exit code when it has stopped because it was told to, and can go on."""
NO_SPACE: Final = os.EX_IOERR
"""Its exit code when the disk did not take a file; its last checkpoint is whole."""

_SECONDS_TO_STOP: Final = 20.0


class Worker:
    """A process in a session of its own. Belongs to the event loop.

    It holds the reading end of a pipe from this process: when this one is gone, so is the pipe's
    other end, and the worker stops.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(
        cls, command: Sequence[str], folder: TrainingFolder, *, num_threads: int
    ) -> "Worker":
        """Start a process for the training in a folder."""
        with folder.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *command,
                str(folder.path),
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                # Linux shares processors among sessions: see `training.service.worker`, which then
                # makes its own the last in line.
                start_new_session=True,
                env={
                    **os.environ,
                    "OMP_NUM_THREADS": str(num_threads),
                    "PYTHONPATH": os.pathsep.join(sys.path),
                },
            )
        return cls(process)

    async def wait(self, seconds: float) -> int | None:
        """Wait for its exit code, for some seconds; None when it still runs."""
        try:
            return await asyncio.wait_for(self._process.wait(), seconds)
        except TimeoutError:
            return None

    async def stop(self, *, within: float) -> None:
        """Let it stop at its next step, with a checkpoint; kill it after some seconds."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        if await self.wait(min(within, _SECONDS_TO_STOP)) is None:
            with suppress(ProcessLookupError):  # just now
                self._process.kill()
            await self._process.wait()
