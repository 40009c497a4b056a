"""BatchRunner: takes batch files from the queue, and removes old ones."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Final

from fastapi.concurrency import run_in_threadpool

from prefixes.errors import PrefixError
from prefixes.registry import Database
from prefixes.registry.server_leases import LeaseLost
from prefixes.registry.tables import now
from server.batch_files.answering import RowAnswerer
from server.batch_files.errors import BatchCancelled, BatchFailed, BatchPaused
from server.batch_files.execution import BatchExecution
from server.batch_files.folders import BatchFolder, BatchFolders
from server.batch_files.pacing import Pacer
from server.batch_files.records import BatchFile, BatchState
from server.batch_files.removal import remove_batch
from server.batch_files.store import batch_store
from server.database_retries import retry_database
from server.errors import BatchNotFound, EngineUnavailable
from server.leases import ServerLease
from server.observability.metrics import Metrics
from server.settings import Settings

_POLL_SECONDS: Final = 0.5
_RETRY_SECONDS: Final = 5.0
_SECONDS_BETWEEN_SWEEPS: Final = 600.0

_log = logging.getLogger(__name__)


class BatchRunner:
    """Runs in one process of a server, that of the engine. Belongs to its event loop.

    Other processes, such as front ends and other servers, add, cancel and read batch files through
    the database and the folders. The runners of all servers share one queue. No file starts while
    `find_problem` returns why the engine takes no requests.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        metrics: Metrics,
        *,
        lease: ServerLease,
        answerer: RowAnswerer,
        pacer: Pacer,
        find_problem: Callable[[], str | None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._store = batch_store(settings, database)
        self._folders = BatchFolders(settings.store_folder, settings.bucket)
        self._lease = lease
        self._answerer = answerer
        self._pacer = pacer
        self._find_problem = find_problem
        self._sleep = sleep
        self._tasks: list[asyncio.Task[None]] = []
        self._is_stopping = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run batch files while the block lasts. The unfinished ones return to the queue."""
        restored = asyncio.create_task(self._restore())
        loops = [self._work(restored) for _ in range(self._settings.num_batches)]
        self._tasks = [restored, *map(asyncio.create_task, (*loops, self._keep_sweeping()))]
        try:
            yield
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Stop running files, and requeue them. Rows after the last checkpoint are answered again.

        A second call waits for the first one.
        """
        tasks, is_first = self._tasks, not self._is_stopping
        self._is_stopping = True
        for task in tasks if is_first else ():
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await run_in_threadpool(lambda: self._lease.requeue("batches"))

    async def _restore(self) -> None:
        """Bring back folders from quarantine, once the database is available."""
        try:
            await retry_database(lambda: self._folders.restore(self._store.ids()), self._sleep)
        except Exception:  # noqa: BLE001 - the top of a task: those with folders can run
            _log.exception("folders of batch files could not be restored")

    async def _work(self, restored: Awaitable[None]) -> None:
        await restored
        while True:
            pause = _POLL_SECONDS
            try:
                if self._find_problem() is None and await self._run_next():
                    pause = 0.0
            except LeaseLost as error:
                _log.warning("a batch file stops here: %s", error)
            except Exception:  # noqa: BLE001 - the top of a task: the next file may succeed
                _log.exception("a batch file could not be run")
                pause = _RETRY_SECONDS
            await self._sleep(pause)

    async def _run_next(self) -> bool:
        """Run a file of the queue, and return false if it has none."""
        with self._lease.working():
            batch = await run_in_threadpool(lambda: self._store.claim(self._lease.hold))
            if batch is not None:
                await self._run(batch)
        return batch is not None

    async def _run(self, batch: BatchFile) -> None:
        check_out = partial(self._folders.check_out, batch.id)
        folder = await retry_database(check_out, self._sleep)
        try:
            await self._run_in(folder, batch)
        finally:
            await run_in_threadpool(folder.release)

    async def _run_in(self, folder: BatchFolder, batch: BatchFile) -> None:
        execution = BatchExecution(
            batch,
            folder,
            store=self._store,
            answerer=self._answerer,
            pacer=self._pacer,
            max_rows=self._settings.max_batch_file_rows,
        )
        try:
            await execution.run()
        except LeaseLost:
            raise
        except BatchCancelled:
            await self._finish(batch, "cancelled")
        except BatchPaused:
            await self._requeue(batch)
        except BatchFailed as error:
            await self._finish(batch, "failed", error)
        except (PrefixError, EngineUnavailable, OSError) as error:
            _log.warning("batch %s is retried in %g seconds: %s", batch.id, _RETRY_SECONDS, error)
            await self._sleep(_RETRY_SECONDS)
            await self._requeue(batch)
        except Exception:  # noqa: BLE001 - a defect: the owner learns that the file failed
            _log.exception("batch %s failed unexpectedly", batch.id)
            detail = "The server failed on this batch. Its log contains the reason."
            await self._finish(batch, "failed", BatchFailed(500, "internal_error", detail))
        else:
            await self._finish(batch, "succeeded")

    async def _requeue(self, batch: BatchFile) -> None:
        await retry_database(partial(self._store.requeue, batch), self._sleep)

    async def _finish(
        self, batch: BatchFile, state: BatchState, error: BatchFailed | None = None
    ) -> None:
        problem = None if error is None else error.problem.document()
        finish = partial(self._store.finish, batch, state, problem=problem)
        await retry_database(finish, self._sleep)
        await run_in_threadpool(self._folders.of(batch.id).tidy)
        self._metrics.batch_file_done(state)
        _log.info("batch %s of %s finished with state %s", batch.id, batch.request.tenant, state)

    async def _keep_sweeping(self) -> None:
        """Count queued and running files for the metrics, and remove old ones."""
        num_turns = 0
        while True:
            try:
                for state in ("queued", "running"):
                    number = await run_in_threadpool(partial(self._store.num_in, state))
                    self._metrics.batch_files_in(state, number)
                if num_turns % int(_SECONDS_BETWEEN_SWEEPS / _RETRY_SECONDS) == 0:
                    await run_in_threadpool(self.sweep)
                num_turns += 1
            except Exception:  # noqa: BLE001 - the top of a task: the next turn may succeed
                _log.exception("batch files could not be counted or removed")
            await self._sleep(_RETRY_SECONDS)

    def sweep(self) -> None:
        """Remove finished files whose time is over, and all files of tenants deleted long ago.

        Raises:
            StoreUnavailable: when the database or the disk fails.
        """
        moment = now()
        ids = self._store.removable(
            finished_before=moment - timedelta(days=self._settings.batch_retention_days),
            deleted_before=moment - timedelta(days=self._settings.deleted_tenant_days),
        )
        for batch_id in ids:
            try:
                remove_batch(self._store, self._folders, batch_id)
            except BatchNotFound:
                continue  # another process removed it
            _log.info("removed batch %s", batch_id)
        self._folders.sweep(self._store.ids())
