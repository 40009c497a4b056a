"""BatchRunner: takes batch files from the queue, and removes old ones."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
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
from server.job_loops import JobLoops
from server.leases import ServerLease
from server.observability.metrics import Metrics
from server.settings import Settings

_RETRY_SECONDS: Final = 5.0

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
        self._sleep = sleep
        self._loops = JobLoops(
            "batch file",
            "batches",
            lease,
            run_next=self._run_next,
            find_problem=find_problem,
            restore=lambda: self._folders.restore(self._store.ids()),
            count=self._store.num_in,
            report=metrics.batch_files_in,
            sweep=self.sweep,
            sleep=sleep,
        )

    def running(self) -> AbstractAsyncContextManager[None]:
        """Run batch files while the block lasts. The unfinished ones return to the queue."""
        return self._loops.running(self._settings.num_batches)

    async def stop(self) -> None:
        """Stop running files, and requeue them. Rows after the last checkpoint are answered again.

        A second call waits for the first one.
        """
        await self._loops.stop()

    async def _run_next(self) -> bool:
        claim = partial(self._store.claim, self._lease.hold)
        batch = await retry_database(claim, self._sleep)
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
