"""JobLoops: the tasks of a process that run the jobs of a queue, and keep the queue in order."""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

from fastapi.concurrency import run_in_threadpool

from prefixes.registry.server_leases import LeaseLost
from server.database_retries import retry_database
from server.leases import ServerLease

_POLL_SECONDS: Final = 0.5
_RETRY_SECONDS: Final = 5.0
_SECONDS_BETWEEN_COUNTS: Final = 5.0
_COUNTS_BETWEEN_SWEEPS: Final = 120

_State = Literal["queued", "running"]
_COUNTED: Final[tuple[_State, ...]] = ("queued", "running")

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class JobLoops:
    """Runs the jobs of one kind, some at a time. Belongs to the event loop.

    `name` is what the log calls a job, and `queue` the name of its queue at the lease. `run_next`
    runs a job of the queue, and returns false if it has none. It is called while `find_problem`
    returns None: on a failed device every job would fail, so they wait for another server.

    On a thread, `restore` brings back folders of jobs from quarantine, before the first job starts.
    `count` counts the jobs in a state for `report`, and `sweep` removes old jobs.
    """

    name: str
    queue: str
    lease: ServerLease
    run_next: Callable[[], Awaitable[bool]]
    find_problem: Callable[[], str | None]
    restore: Callable[[], object]
    count: Callable[[_State], int]
    report: Callable[[str, int], None]
    sweep: Callable[[], None]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _tasks: list[asyncio.Task[None]] = field(default_factory=list, init=False)
    _is_stopping: bool = field(default=False, init=False)

    @asynccontextmanager
    async def running(self, num_jobs: int) -> AsyncIterator[None]:
        """Run up to this many jobs at a time while the block lasts, then `stop`."""
        restored = asyncio.create_task(self._restore())
        loops = [self._work(restored) for _ in range(num_jobs)]
        self._tasks = [restored, *map(asyncio.create_task, (*loops, self._keep_house()))]
        try:
            yield
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Stop the running jobs, return them to the queue, and start no more.

        A second call waits for the first one: it does not interrupt jobs that are stopping.
        """
        tasks, is_first = self._tasks, not self._is_stopping
        self._is_stopping = True
        for task in tasks if is_first else ():
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await run_in_threadpool(self.lease.requeue, self.queue)

    async def _restore(self) -> None:
        try:
            await retry_database(self.restore, self.sleep)
        except Exception:  # noqa: BLE001 - the top of a task: the jobs that have folders can run
            _log.exception("folders of %s could not be restored", self.queue)

    async def _work(self, restored: Awaitable[None]) -> None:
        await restored
        while True:
            pause = _POLL_SECONDS
            try:
                if self.find_problem() is None and await self._run_next():
                    pause = 0.0
            except LeaseLost as error:
                _log.warning("a %s stops here: %s", self.name, error)
            except Exception:  # noqa: BLE001 - the top of a task: the next job may succeed
                _log.exception("a %s could not be run", self.name)
                pause = _RETRY_SECONDS
            await self.sleep(pause)

    async def _run_next(self) -> bool:
        with self.lease.working():
            return await self.run_next()

    async def _keep_house(self) -> None:
        for turn in itertools.count():
            try:
                for state in _COUNTED:
                    self.report(state, await run_in_threadpool(self.count, state))
                if turn % _COUNTS_BETWEEN_SWEEPS == 0:
                    await run_in_threadpool(self.sweep)
            except Exception:  # noqa: BLE001 - the top of a task: the next turn may succeed
                _log.exception("%s could not be counted or removed", self.queue)
            await asyncio.sleep(_SECONDS_BETWEEN_COUNTS)
