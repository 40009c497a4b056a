"""JobExecutor: executes one training job from its start to its published version."""

import logging
import signal
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from fastapi.concurrency import run_in_threadpool

from prefixes.cores import num_usable_cores
from prefixes.errors import (
    PrefixError,
    PrefixNotFound,
    PrefixRejected,
    QuotaExceeded,
    StoreUnavailable,
    TenantNotFound,
)
from prefixes.names import PrefixRef
from prefixes.registry import PrefixRegistry
from prefixes.registry.server_leases import LeaseLost
from server.database_retries import retry_database
from server.leases import ServerLease
from server.publishing import Publisher
from server.settings import Settings
from server.training_jobs.clock import Clock
from server.training_jobs.cpu_time import CpuTimeAccount
from server.training_jobs.errors import TrainingCancelled, TrainingFailed
from server.training_jobs.folders import TrainingFolder
from server.training_jobs.hang_detection import CpuTimeMonitor
from server.training_jobs.jobs import new_job
from server.training_jobs.placement import Placement
from server.training_jobs.publication import publish_trained
from server.training_jobs.records import JobRequest, TrainingJob
from server.training_jobs.retries import (
    HOUR_OF_PAUSES,
    MINUTE_OF_PAUSES,
    retry,
)
from server.training_jobs.rows import check_held
from server.training_jobs.saving import FolderSaves
from server.training_jobs.store import TrainingStore
from server.training_jobs.worker import StartWorker
from training.service.protocol.messages import Failure
from training.service.protocol.worker import WorkerExitCode

_POLL_SECONDS: Final = 0.5
_KILLED: Final = -signal.SIGKILL
_MAX_CRASHES: Final = 2
"""Crashes after which a training fails. The second worker resumes from the first's checkpoint."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class JobExecutor:
    """Executes jobs, one call each. Belongs to the event loop of the engine's process."""

    settings: Settings
    registry: PrefixRegistry
    publisher: Publisher
    store: TrainingStore
    lease: ServerLease
    placement: Placement
    start_worker: StartWorker
    clock: Clock

    async def execute(self, training: TrainingJob, folder: TrainingFolder) -> dict[str, Any]:
        """Train and publish, and return the result.

        A job that an earlier process, or another server, left goes on where it was.

        Raises:
            TrainingCancelled: when its owner cancels it.
            TrainingPaused: when its tenant has used up its CPU time. It can be executed again.
            TrainingFailed: when there is no prefix, or it cannot be published.
            EngineUnavailable: when the prefix cannot be checked before the server's next start.
            LeaseLost: when another server may run it now.
        """
        wait = partial(self._wait, training)
        await retry(
            lambda: run_in_threadpool(self._begin, training, folder), MINUTE_OF_PAUSES, wait
        )
        if folder.outcome() is None:  # otherwise the server stopped before it could publish
            await retry(lambda: self._train(training, folder), HOUR_OF_PAUSES, wait)
        outcome = folder.outcome()
        assert outcome is not None, "a worker is done once it has written an outcome"
        if isinstance(outcome, Failure):
            errors = [problem.model_dump() for problem in outcome.errors]
            raise TrainingFailed(422, outcome.code, outcome.detail, errors)
        publish = partial(
            publish_trained,
            training,
            folder,
            outcome,
            registry=self.registry,
            publisher=self.publisher,
            guard=partial(check_held, job=training),
        )
        try:
            return await retry(publish, HOUR_OF_PAUSES, wait)
        except (PrefixRejected, QuotaExceeded, TenantNotFound) as error:
            raise _failed_publication(error) from error

    def _begin(self, training: TrainingJob, folder: TrainingFolder) -> None:
        """Write the job, and the live version with its bytes, into a folder of our own.

        Only once, so that all workers compare with the same version and take the same steps.
        """
        if training.is_taken_over:
            folder.detach()
            self.store.note_own_folder(training)
        if folder.job() is not None:
            return
        request = training.request
        self._check_room(request)
        live_version, live = None, None
        try:
            ref = PrefixRef(request.tenant, request.task, alias=request.alias)
            version = self.registry.version(ref, reader=request.tenant)
            live_version, live = version.number, self.registry.read(version.digest)
        except PrefixNotFound:
            pass  # the task has no version yet
        job = new_job(
            training,
            folder.rows(),
            self.settings,
            placement=self.placement,
            num_threads=self._num_threads,
            live_version=live_version,
        )
        folder.begin(job, live)

    def _check_room(self, request: JobRequest) -> None:
        """Fail a training whose version could not be published, before it costs anything."""
        try:
            self.store.check_room(request.tenant, request.task)
        except (QuotaExceeded, TenantNotFound) as error:
            raise _failed_publication(error) from error

    @property
    def _num_threads(self) -> int:
        return self.settings.training_threads or num_usable_cores()

    async def _train(self, training: TrainingJob, folder: TrainingFolder) -> None:
        """Start workers until one of them has written an outcome.

        Raises:
            TrainingCancelled: when its owner cancels it.
            TrainingFailed: when it takes too long, or its workers crash too often.
            StoreUnavailable: when a worker could not write a file.
        """
        while True:
            code = await self._run_worker(training, folder)
            # A worker that has written its outcome may still crash as it exits.
            if code == WorkerExitCode.DONE or folder.outcome() is not None:
                return
            if code == WorkerExitCode.STOPPED:  # somebody else sent the signal: not a crash
                continue
            if code == WorkerExitCode.DISK_ERROR:  # its checkpoint is whole: it can resume later
                raise StoreUnavailable(f"training {training.id} could not write a file")
            crashes = await retry_database(
                lambda: self.store.note_crash(training), self.clock.sleep
            )
            _log.error("the worker of training %s crashed with exit code %d", training.id, code)
            if crashes >= _MAX_CRASHES:
                detail = (
                    f"The training process crashed {crashes} times, the last time with exit code "
                    f"{code}. Ask the operator for the log of the training."
                )
                raise TrainingFailed(500, "training_failed", detail)

    async def _run_worker(self, training: TrainingJob, folder: TrainingFolder) -> int:
        self.lease.check(training.holder)
        saves = FolderSaves(folder, self.clock)
        account = CpuTimeAccount(training, folder, self.store, self.clock)
        worker = await retry(
            lambda: self.start_worker(
                folder,
                num_threads=self._num_threads,
                niceness=self.settings.training_niceness,
            ),
            MINUTE_OF_PAUSES,
            partial(self._wait, training),
        )
        try:
            monitor = CpuTimeMonitor(
                folder,
                self.clock,
                max_seconds=self.settings.max_training_seconds,
                # On a GPU, one thread does the work of the CPU.
                num_threads=self._num_threads if self.placement.device == "cpu" else 1,
            )
            while (code := await worker.wait(_POLL_SECONDS)) is None:
                await self._check_cancelled(training)
                await run_in_threadpool(saves.save_if_due)
                await run_in_threadpool(account.charge_if_due)
                if await run_in_threadpool(monitor.is_hung):
                    _log.error("the worker of training %s hangs and is killed", training.id)
                    return _KILLED
            return code
        finally:
            await worker.stop(within=self.settings.drain_seconds)
            with suppress(LeaseLost):  # it must not replace a cancellation, at which this task ends
                await run_in_threadpool(account.charge)

    async def _wait(self, training: TrainingJob, seconds: float) -> None:
        end = self.clock.monotonic() + seconds
        while True:
            await self._check_cancelled(training)
            if self.clock.monotonic() >= end:
                return
            await self.clock.sleep(_POLL_SECONDS)

    async def _check_cancelled(self, training: TrainingJob) -> None:
        self.lease.check(training.holder)
        try:
            is_cancelling = await run_in_threadpool(self.store.is_cancelling, training)
        except StoreUnavailable as error:  # checked again soon: no reason to stop
            _log.warning("cannot check whether training %s is cancelled: %s", training.id, error)
            return
        if is_cancelling:
            raise TrainingCancelled


def _failed_publication(error: PrefixError) -> TrainingFailed:
    status = 403 if isinstance(error, QuotaExceeded) else 422
    return TrainingFailed(status, error.code, str(error))
