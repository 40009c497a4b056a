"""RowChecker: reads the rows of a training in a process of their own, and trains nothing."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from functools import partial
from typing import Final

from fastapi.concurrency import run_in_threadpool

from prefixes.atomic import write_atomically
from server.errors import DeadlineExceeded
from server.settings import Settings
from server.training_jobs.folders import TrainingFolder
from server.training_jobs.plans import new_plan
from server.training_jobs.records import JobRequest
from training.service.protocol.messages import Failure, RowCheck, parse_row_check
from training.service.protocol.worker import CHECK_COMMAND, ROW_CHECK, ROW_PLAN

MAX_SECONDS: Final = 120.0
"""Time for a check, in which it also waits for its turn."""
_MAX_PROCESSES: Final = 2
"""Each imports torch, and has all rows in memory."""


class RowChecker:
    """Checks rows, a few files at a time. Belongs to the event loop of one process."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(_MAX_PROCESSES)

    async def check(
        self,
        folder: TrainingFolder,
        request: JobRequest,
        settings: Settings,
        *,
        max_seconds: float = MAX_SECONDS,
    ) -> RowCheck | Failure:
        """Check the rows in a training's folder.

        Raises:
            DeadlineExceeded: when it takes too long.
        """
        if not await run_in_threadpool(partial(_write_plan, folder, request, settings)):
            return _without_rows(request)
        try:
            async with asyncio.timeout(max_seconds), self._places:
                code = await _run(folder)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"The rows were not checked within {max_seconds:g} seconds. Retry later, or start "
                "the training, which has more time."
            ) from error
        return await run_in_threadpool(partial(_outcome, folder, code))


def _write_plan(folder: TrainingFolder, request: JobRequest, settings: Settings) -> bool:
    """Write the plan of the check; return False if there are no rows to check."""
    rows = folder.rows()
    if rows:
        plan = new_plan(request, rows, settings, device="cpu")
        write_atomically(folder.path / ROW_PLAN, plan.to_json())
    return bool(rows)


def _without_rows(request: JobRequest) -> RowCheck:
    """Describe a training that starts from names of labels, which were checked with its form."""
    task_type = request.config.get("task_type", "sequence_classification")
    return RowCheck(task_type=task_type, method="few_shot", parts=[], data_summary=[], warnings=[])


async def _run(folder: TrainingFolder) -> int:
    """Run the process to its end; kill it if this task is canceled."""
    with folder.log.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *CHECK_COMMAND,
            str(folder.path),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):  # it has just exited
                process.kill()
            await process.wait()


def _outcome(folder: TrainingFolder, code: int) -> RowCheck | Failure:
    with suppress(FileNotFoundError):
        return parse_row_check((folder.path / ROW_CHECK).read_bytes())
    reason = " because it needed too much memory or time" if code == -signal.SIGKILL else ""
    return Failure(
        code="training_failed",
        detail=f"The process that checks the rows ended with exit code {code}{reason}. Send a "
        "smaller file, or start the training.",
        errors=[],
    )
