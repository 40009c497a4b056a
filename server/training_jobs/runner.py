"""TrainingRunner: takes training jobs from the queue, and removes old ones."""

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from functools import partial
from typing import Any, Final

from fastapi.concurrency import run_in_threadpool

from prefixes.errors import StoreUnavailable
from prefixes.registry import PrefixRegistry
from prefixes.registry.server_leases import LeaseLost
from prefixes.registry.tables import now
from server.database_retries import retry_database
from server.errors import EngineUnavailable
from server.job_loops import JobLoops
from server.leases import ServerLease
from server.observability.metrics import Metrics
from server.publishing import Publisher
from server.settings import Settings
from server.training_jobs.cleanup import remove_trainings
from server.training_jobs.clock import Clock
from server.training_jobs.errors import TrainingCancelled, TrainingFailed, TrainingPaused
from server.training_jobs.executor import JobExecutor
from server.training_jobs.folders import TrainingFolder, TrainingFolders
from server.training_jobs.placement import Placement
from server.training_jobs.purging import purge_tenants
from server.training_jobs.records import JobState, TrainingJob
from server.training_jobs.store import training_store
from server.training_jobs.worker import StartWorker, start_worker_process

_CLOCK: Final = Clock()

_log = logging.getLogger(__name__)


class TrainingRunner:
    """Runs in one process of a server, that of the engine. Belongs to its event loop.

    Other processes, such as front ends and other servers, add, cancel and read trainings through
    the database and the folders. The runners of all servers share one queue. No training starts
    while `find_problem` returns why the engine takes no requests.
    """

    def __init__(
        self,
        settings: Settings,
        registry: PrefixRegistry,
        publisher: Publisher,
        metrics: Metrics,
        *,
        lease: ServerLease,
        placement: Placement,
        find_problem: Callable[[], str | None],
        start_worker: StartWorker = start_worker_process,
        clock: Clock = _CLOCK,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._lease = lease
        self._clock = clock
        self._store = training_store(settings, registry.database)
        self._registry = registry
        self._folders = TrainingFolders(settings.store_folder, settings.bucket)
        self._executor = JobExecutor(
            settings=settings,
            registry=registry,
            publisher=publisher,
            store=self._store,
            lease=lease,
            placement=placement,
            start_worker=start_worker,
            clock=clock,
        )
        self._loops = JobLoops(
            "training",
            "trainings",
            lease,
            run_next=self._run_next,
            find_problem=find_problem,
            restore=lambda: self._folders.restore(self._store.ids()),
            count=self._store.num_in,
            report=metrics.trainings_in,
            sweep=self._sweep,
            sleep=clock.sleep,
        )

    def running(self) -> AbstractAsyncContextManager[None]:
        """Run trainings while the block lasts. The unfinished ones return to the queue."""
        return self._loops.running(self._settings.num_trainings)

    async def stop(self) -> None:
        """Stop the workers, with a checkpoint, requeue their trainings, and start no more.

        A second call waits for the first one: it does not interrupt workers that are stopping.
        """
        await self._loops.stop()

    async def _run_next(self) -> bool:
        claim = partial(self._store.claim, self._lease.hold)
        training = await retry_database(claim, self._clock.sleep)
        if training is not None:
            await self._run(training)
        return training is not None

    async def _run(self, training: TrainingJob) -> None:
        check_out = partial(self._folders.check_out, training.id)
        folder = await retry_database(check_out, self._clock.sleep)
        try:
            await self._run_in(folder, training)
        finally:
            await run_in_threadpool(self._hand_over, folder, training)

    async def _run_in(self, folder: TrainingFolder, training: TrainingJob) -> None:
        try:
            result = await self._executor.execute(training, folder)
        except LeaseLost:
            raise
        except TrainingCancelled:
            await self._finish(folder, training, "cancelled")
        except TrainingPaused:
            await self._requeue(folder, training)
            _log.info("training %s waits for CPU time of its tenant", training.id)
        except TrainingFailed as error:
            await self._finish(folder, training, "failed", problem=error.problem.document())
        except EngineUnavailable:
            # The device has failed, or the server is stopping: another one or its next start
            # publishes.
            await self._requeue(folder, training)
            _log.exception("training %s is published by another server or start", training.id)
        except Exception:  # noqa: BLE001 - a defect: the owner learns that the training failed
            _log.exception("training %s failed unexpectedly", training.id)
            detail = "The server failed on this training. Its log contains the reason."
            problem = TrainingFailed(500, "internal_error", detail).problem
            await self._finish(folder, training, "failed", problem=problem.document())
        else:
            await self._finish(folder, training, "succeeded", result=result)

    def _hand_over(self, folder: TrainingFolder, training: TrainingJob) -> None:
        """Save what an interrupted training did, unless another server may run it by now."""
        if folder.mirror is None:
            return
        try:
            self._save(folder, training)
        except (LeaseLost, StoreUnavailable) as error:
            _log.warning("the latest progress of training %s is lost: %s", training.id, error)
        folder.release()

    def _save(self, folder: TrainingFolder, training: TrainingJob) -> None:
        self._lease.check(training.holder)
        folder.save()

    async def _requeue(self, folder: TrainingFolder, training: TrainingJob) -> None:
        await retry_database(partial(self._save, folder, training), self._clock.sleep)
        await retry_database(partial(self._store.requeue, training), self._clock.sleep)

    async def _finish(
        self, folder: TrainingFolder, training: TrainingJob, state: JobState, **how: Any
    ) -> None:
        # All servers show the files of a finished training, so they are saved before it is one.
        await retry_database(partial(self._save, folder, training), self._clock.sleep)
        used = await run_in_threadpool(folder.cpu_seconds)
        finish = partial(self._store.finish, training, state, cpu_seconds=used, **how)
        await retry_database(finish, self._clock.sleep)
        await run_in_threadpool(folder.tidy)
        self._metrics.training_done(state)
        _log.info(
            "training %s of %s finished with state %s", training.id, training.request.tenant, state
        )

    def _sweep(self) -> None:
        retention = timedelta(days=self._settings.training_retention_days)
        remove_trainings(self._store, self._folders, self._store.finished_before(now() - retention))
        self._folders.sweep(self._store.ids())
        grace = timedelta(days=self._settings.deleted_tenant_days)
        purge_tenants(self._registry, self._store, self._folders, now() - grace)
