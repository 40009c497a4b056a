"""TrainingRunner: takes trainings from the queue, has them run, and publishes what they made."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any, Final

from fastapi.concurrency import run_in_threadpool

from prefixes.errors import PrefixNotFound, PrefixRejected, StoreUnavailable
from prefixes.names import PrefixRef
from prefixes.registry import PrefixRegistry
from prefixes.registry.tables import now
from server.errors import EngineUnavailable
from server.observability.metrics import Metrics
from server.publishing import Publisher
from server.settings import Settings
from server.training_jobs.cleanup import remove_trainings
from server.training_jobs.errors import Ended, problem
from server.training_jobs.folders import TrainingFolder, TrainingFolders
from server.training_jobs.hang_detection import SpentWatch, check_cancelled
from server.training_jobs.jobs import job_of
from server.training_jobs.placement import Placement
from server.training_jobs.publication import publish_trained
from server.training_jobs.records import JobState, Trainer, TrainingJob
from server.training_jobs.retries import patiently, persist
from server.training_jobs.store import training_store
from server.training_jobs.worker import NO_SPACE, STOPPED, Worker

_POLL_SECONDS: Final = 0.5
_SECONDS_BETWEEN_SWEEPS: Final = 600.0
_PAUSES: Final = (*(2.0**n for n in range(6)), *([60.0] * 60))
"""Seconds between attempts to publish, or to train on a full disk, for an hour in all."""
_FEW_PAUSES: Final = _PAUSES[:6]
"""Seconds between attempts to begin: others wait for their turn."""
_HUNG: Final = -signal.SIGKILL
_MAX_CRASHES: Final = 2
"""Workers that may die under one training: the second goes on from the first one's checkpoint."""

_log = logging.getLogger(__name__)


class TrainingRunner:
    """Runs in one process of a server: that of the engine. Belongs to its event loop.

    Others, such as front ends, add, cancel and read trainings through the database and the folders.
    `find_problem` says why the engine takes no work; meanwhile no training begins.
    """

    def __init__(
        self,
        settings: Settings,
        trainer: Trainer,
        registry: PrefixRegistry,
        publisher: Publisher,
        metrics: Metrics,
        *,
        placement: Placement,
        find_problem: Callable[[], str | None],
    ) -> None:
        self._settings = settings
        self._trainer = trainer
        self._placement = placement
        self._find_problem = find_problem
        self._registry = registry
        self._publisher = publisher
        self._metrics = metrics
        self._store = training_store(settings, registry.database)
        self._folders = TrainingFolders(settings.store_folder)
        self._tasks: list[asyncio.Task[None]] = []
        self._is_stopping = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run trainings as long as the block lasts; those that run then go on at a next start."""
        await run_in_threadpool(self._store.requeue_running)
        await run_in_threadpool(lambda: self._folders.restore(self._store.ids()))
        loops = [self._work() for _ in range(self._settings.num_trainings)]
        self._tasks = [asyncio.create_task(loop) for loop in (*loops, self._keep_house())]
        try:
            yield
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Stop what runs, with a checkpoint, and begin nothing more.

        Called again, it waits for the same end: a worker that is about to stop is left in peace.
        """
        tasks, is_first = self._tasks, not self._is_stopping
        self._is_stopping = True
        for task in tasks if is_first else ():
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _work(self) -> None:
        while True:
            try:
                # On a device that has failed one after another would: they wait for the next start.
                is_well = self._find_problem() is None
                training = await patiently(self._store.claim) if is_well else None
                if training is not None:
                    await self._run(training)
            except Exception:  # noqa: BLE001 - the top of a task: the next one may fare better
                _log.exception("a training could not be run")
            await asyncio.sleep(_POLL_SECONDS)

    async def _keep_house(self) -> None:
        """Show how many wait and run, and now and then remove what ended long ago."""
        swept = float("-inf")
        while True:
            try:
                for state in ("queued", "running"):
                    number = await run_in_threadpool(self._store.num_in, state)
                    self._metrics.trainings_in(state, number)
                if time.monotonic() - swept > _SECONDS_BETWEEN_SWEEPS:
                    swept = time.monotonic()
                    await run_in_threadpool(self._sweep)
            except Exception:  # noqa: BLE001 - the top of a task: the next turn may fare better
                _log.exception("trainings could not be counted or removed")
            await asyncio.sleep(_POLL_SECONDS)

    def _sweep(self) -> None:
        retention = timedelta(days=self._settings.training_retention_days)
        remove_trainings(self._store, self._folders, self._store.ended(now() - retention))
        self._folders.sweep(self._store.ids())

    async def _run(self, training: TrainingJob) -> None:
        folder = self._folders.of(training.id)
        try:
            await persist(
                lambda: run_in_threadpool(self._begin, training, folder),
                _FEW_PAUSES,
                partial(self._pause, training),
            )
            if folder.outcome() is None:  # else a server ended before it could publish
                await self._train(training, folder)
            await self._conclude(training, folder)
        except Ended as ended:
            await self._end(training, ended.state, problem=ended.problem)
        except Exception:  # noqa: BLE001 - a defect: its owner hears that it failed
            _log.exception("training %s failed unexpectedly", training.id)
            detail = "The server failed on this training; its log has the reason"
            await self._end(training, "failed", problem=problem(500, "internal_error", detail))

    def _begin(self, training: TrainingJob, folder: TrainingFolder) -> None:
        """Write down the plan, and the version that is live now with its bytes.

        But once, so that all workers compare with the same version, and go the same steps.
        """
        if folder.job():
            return
        request = training.request
        live, data = None, None
        try:
            ref = PrefixRef(request.tenant, request.task, alias=request.alias)
            version = self._registry.version(ref, reader=request.tenant)
            live, data = version.number, self._registry.read(version.digest)
        except PrefixNotFound:
            pass  # its first version
        job = job_of(
            training,
            folder.rows(),
            self._settings,
            placement=self._placement,
            num_threads=self._num_threads,
            live_version=live,
        )
        folder.begin(job, data)

    @property
    def _num_threads(self) -> int:
        return self._settings.training_threads or len(os.sched_getaffinity(0))

    async def _train(self, training: TrainingJob, folder: TrainingFolder) -> None:
        """Have workers train until one has come to an outcome; wait while the disk is full.

        Raises:
            Ended: when it was cancelled, took too long, died too often, or the disk stays full.
        """
        await persist(
            lambda: self._work_until_outcome(training, folder),
            _PAUSES,
            partial(self._pause, training),
        )

    async def _work_until_outcome(self, training: TrainingJob, folder: TrainingFolder) -> None:
        while True:
            code = await self._work_through(training, folder)
            if code == 0 or folder.outcome() is not None:  # it may die as it leaves
                return
            if code == STOPPED:  # by somebody else's signal: no fault of the training
                continue
            if code == NO_SPACE:  # its checkpoint is whole: it can go on once there is space
                raise StoreUnavailable(f"training {training.id} could not write a file")
            crashes = await patiently(lambda: self._store.note_crash(training.id))
            _log.error("the worker of training %s died with %d", training.id, code)
            if crashes >= _MAX_CRASHES:
                detail = f"Its process died {crashes} times, the last time with the code {code}"
                raise Ended("failed", problem(500, "training_failed", detail))

    async def _work_through(self, training: TrainingJob, folder: TrainingFolder) -> int:
        worker = await persist(
            lambda: Worker.start(self._trainer.command, folder, num_threads=self._num_threads),
            _FEW_PAUSES,
            partial(self._pause, training),
        )
        try:
            watch = SpentWatch(
                folder,
                max_seconds=self._settings.max_training_seconds,
                # A GPU is fed by one of them.
                num_threads=self._num_threads if self._placement.device == "cpu" else 1,
            )
            while (code := await worker.wait(_POLL_SECONDS)) is None:
                await check_cancelled(self._store, training)
                if not await run_in_threadpool(watch.sees_life):
                    _log.error("the worker of training %s hangs", training.id)
                    return _HUNG
            return code
        finally:
            await worker.stop(within=self._settings.drain_seconds)

    async def _conclude(self, training: TrainingJob, folder: TrainingFolder) -> None:
        outcome = folder.outcome()
        assert outcome is not None
        if not outcome["is_success"]:
            why = problem(422, outcome["code"], outcome["detail"], outcome["errors"])
            raise Ended("failed", why)
        try:
            result = await persist(
                lambda: publish_trained(
                    training, folder, outcome, registry=self._registry, publisher=self._publisher
                ),
                _PAUSES,
                partial(self._pause, training),
            )
        except PrefixRejected as error:
            raise Ended("failed", problem(422, error.code, str(error))) from error
        except EngineUnavailable:
            # The device has failed, or the server is about to end: its next start publishes.
            _log.exception("training %s waits for the next start to be published", training.id)
            return
        await self._end(training, "succeeded", result=result)

    async def _pause(self, training: TrainingJob, seconds: float) -> None:
        end = time.monotonic() + seconds
        while True:
            await check_cancelled(self._store, training)
            if time.monotonic() >= end:
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def _end(self, training: TrainingJob, state: JobState, **how: Any) -> None:
        await patiently(lambda: self._store.end(training.id, state, **how))
        await run_in_threadpool(self._folders.of(training.id).tidy)
        self._metrics.training_done(state)
        _log.info("training %s of %s has %s", training.id, training.request.tenant, state)
