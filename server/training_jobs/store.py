"""TrainingStore: training jobs in the database, and the transitions between their states."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, delete, insert, select

from prefixes.limits import LimitSet
from prefixes.registry import COMMAND_LINE, Actor, Database
from prefixes.registry.audit import record
from prefixes.registry.quotas import check_room
from prefixes.registry.tables import now, tenants, trainings
from prefixes.registry.tenants import find_tenant_id
from server.errors import Overloaded
from server.settings import Settings
from server.training_jobs import rows
from server.training_jobs.endings import charge, emit_finished
from server.training_jobs.records import FINISHED, JobRequest, JobState, TrainingJob
from server.training_jobs.requeueing import requeue
from server.training_jobs.tenant_limits import (
    add_cpu_time,
    check_may_queue,
    find_next,
    has_cpu_time,
)

_RETRY_SECONDS: Final = 60
_RETENTION: Final = Actor("retention")


class TrainingStore:
    """Training jobs in the registry's database. Safe to use from many threads and processes.

    Methods that take a claimed training raise LeaseLost when another server may run it now. Every
    method raises StoreUnavailable when the database cannot be used.
    """

    def __init__(
        self,
        database: Database,
        *,
        max_queued: int,
        max_kept_per_tenant: int,
        default_limits: LimitSet,
    ) -> None:
        self._database = database
        self._max_kept_per_tenant = max_kept_per_tenant
        self._max_queued = max_queued
        self._default_limits = default_limits

    def check_queue(self, tenant: str) -> None:
        """Reject a request before its body is received, where no training of the tenant may start.

        Raises:
            Overloaded: when all tenants together have reached their limit.
            LimitExceeded: when the tenant has reached its limit, or has used up its CPU time.
            QuotaExceeded: when the tenant has no room for the new version.
        """
        with self._database.read() as connection:
            self._check_queue(connection, tenant, None)

    def add(
        self, training_id: str, request: JobRequest, *, by: Actor = COMMAND_LINE
    ) -> TrainingJob:
        """Queue a training whose files are in its folder.

        Raises:
            ActingKeyInvalid: when the key of the request became invalid while its files arrived.
            Overloaded, LimitExceeded, QuotaExceeded: as `check_queue`.
            TenantNotFound: when the tenant does not exist.
        """
        with self._database.write() as connection:
            self._check_queue(connection, request.tenant, request.task)
            connection.execute(
                insert(trainings).values(
                    id=training_id,
                    tenant_id=find_tenant_id(connection, request.tenant),
                    task=request.task,
                    alias=request.alias,
                    margin=request.margin,
                    config=json.dumps(request.config),
                    state="queued",
                    is_cancelling=False,
                    num_crashes=0,
                    created_at=now(),
                    key_id=by.key_id,
                )
            )
            started = {"task": request.task, "alias": request.alias}
            record(
                connection,
                by,
                "training.start",
                training_id,
                tenant=request.tenant,
                after=started,
            )
            return rows.find(connection, training_id, request.tenant)

    def beyond_limit(self, tenant: str) -> Sequence[str]:
        """Return the ids of a tenant's oldest finished trainings, if it has more than the limit."""
        older = (
            select(trainings.c.id)
            .join(tenants)
            .where(tenants.c.name == tenant)
            .order_by(trainings.c.id.desc())
            .offset(self._max_kept_per_tenant)
        )
        with self._database.read() as connection:
            beyond = connection.scalars(older).all()
            old = (trainings.c.id.in_(beyond), trainings.c.state.in_(FINISHED))
            return connection.scalars(select(trainings.c.id).where(*old)).all()

    def find(self, tenant: str, training_id: str) -> TrainingJob:
        """Read a training of a tenant.

        Raises:
            TrainingNotFound: when the tenant does not have it.
        """
        with self._database.read() as connection:
            return rows.find(connection, training_id, tenant)

    def list(self, tenant: str, *, before: str | None, limit: int) -> list[TrainingJob]:
        """List a tenant's trainings, newest first; `before` is the last id of the page before."""
        query = rows.SELECT.where(tenants.c.name == tenant).order_by(trainings.c.id.desc())
        if before is not None:
            query = query.where(trainings.c.id < before)
        with self._database.read() as connection:
            return [rows.training_job(row) for row in connection.execute(query.limit(limit))]

    def cancel(self, tenant: str, training_id: str, *, by: Actor = COMMAND_LINE) -> TrainingJob:
        """Cancel a queued training, tell a running one to stop, leave a finished one unchanged.

        Raises:
            ActingKeyInvalid: when the key of the request became invalid.
            TrainingNotFound: as `find`.
        """

        def cancel(connection: Connection) -> TrainingJob:
            found = rows.find(connection, training_id, tenant)
            if found.is_finished or found.is_cancelling:
                return found
            if found.state == "queued":
                rows.change(connection, training_id, state="cancelled", ended_at=now())
                emit_finished(connection, training_id)
            else:
                rows.change(connection, training_id, is_cancelling=True)
            was = {"state": found.state}
            record(connection, by, "training.cancel", training_id, tenant=tenant, before=was)
            return rows.find(connection, training_id, tenant)

        return self._database.free(cancel)

    def claim(self, hold: Callable[[Connection], str]) -> TrainingJob | None:
        """Mark the first training of the queue that may run as running; None if none may.

        Trainings of suspended and deleted tenants stay queued. So do those of tenants that have
        reached a limit. `hold` returns the lease that holds it.
        """
        with self._database.read() as connection:
            if find_next(connection, self._default_limits) is None:
                return None  # polled twice a second: without the lock of a writer
        with self._database.write() as connection:
            found = find_next(connection, self._default_limits)
            if found is None:
                return None
            held = {"state": "running", "holder": hold(connection)}
            rows.change(connection, found, started_at=now(), **held)
            return rows.find(connection, found)

    def check_room(self, tenant: str, task: str) -> None:
        """Check that a new version of a tenant's task could be published.

        Raises:
            QuotaExceeded: when it could not.
        """
        with self._database.read() as connection:
            check_room(connection, tenant, task, self._default_limits)

    def requeue(self, job: TrainingJob) -> None:
        """Put a claimed training back into the queue, unless its owner has cancelled it."""
        with self._changing(job) as connection:
            requeue(connection, job.id)

    def note_own_folder(self, job: TrainingJob) -> None:
        """Note that no process of an earlier holder can write to the folder any more."""
        with self._changing(job) as connection:
            rows.change(connection, job.id, is_taken_over=False)

    def add_cpu_time(self, tenant: str, seconds: float) -> bool:
        """Count CPU time of a tenant's training, and return whether it may use more now."""
        with self._database.write_activity() as connection:
            tenant_id = connection.scalar(select(tenants.c.id).where(tenants.c.name == tenant))
            assert tenant_id is not None, "a tenant with a training is not purged"
            add_cpu_time(connection, tenant_id, seconds)
            return has_cpu_time(connection, tenant_id, self._default_limits)

    def note_crash(self, job: TrainingJob) -> int:
        """Count one more crash of a worker, and return how many there were."""
        with self._changing(job) as connection:
            rows.change(connection, job.id, num_crashes=trainings.c.num_crashes + 1)
            return rows.find(connection, job.id).num_crashes

    def is_cancelling(self, job: TrainingJob) -> bool:
        """Return whether somebody has cancelled a claimed training."""
        with self._database.read() as connection:
            rows.check_held(connection, job)
            return rows.find(connection, job.id).is_cancelling

    def finish(
        self,
        job: TrainingJob,
        state: JobState,
        *,
        problem: Mapping[str, Any] | None = None,
        result: Mapping[str, Any] | None = None,
        cpu_seconds: float = 0.0,
    ) -> None:
        """Mark a training as finished, and add its CPU time to the usage of its tenant and key."""
        with self._changing(job) as connection:
            charge(connection, job, cpu_seconds)
            rows.change(
                connection,
                job.id,
                state=state,
                holder=None,
                is_cancelling=False,
                ended_at=now(),
                problem=None if problem is None else json.dumps(problem),
                result=None if result is None else json.dumps(result),
            )
            emit_finished(connection, job.id)

    def num_in(self, state: JobState) -> int:
        """Return the number of trainings in a state."""
        with self._database.read() as connection:
            return connection.execute(rows.count().where(trainings.c.state == state)).scalar_one()

    def ids(self) -> frozenset[str]:
        """Return the ids of all trainings."""
        with self._database.read() as connection:
            return frozenset(connection.scalars(select(trainings.c.id)))

    def finished_before(self, moment: datetime) -> Sequence[str]:
        """Return the ids of the trainings that finished before a moment."""
        with self._database.read() as connection:
            query = select(trainings.c.id).where(trainings.c.ended_at < moment)
            return connection.scalars(query).all()

    def remove(self, ids: Sequence[str]) -> None:
        """Remove rows of finished trainings. Remove their folders first: a folder without a row
        is never deleted.
        """

        def remove(connection: Connection) -> None:
            for removed in rows.find_all(connection, ids):
                was = {"task": removed.request.task, "state": removed.state}
                tenant = removed.request.tenant
                record(
                    connection, _RETENTION, "training.delete", removed.id, tenant=tenant, before=was
                )
            connection.execute(delete(trainings).where(trainings.c.id.in_(ids)))

        self._database.free(remove)

    @contextmanager
    def _changing(self, job: TrainingJob) -> Iterator[Connection]:
        with self._database.write() as connection:
            rows.check_held(connection, job)
            yield connection

    def _check_queue(self, connection: Connection, tenant: str, task: str | None) -> None:
        total = connection.execute(rows.count().where(trainings.c.state == "queued")).scalar_one()
        if total >= self._max_queued:
            raise Overloaded(
                f"The queue is full: {total} trainings are queued, and the limit for all tenants "
                f"together is {self._max_queued}. Retry later.",
                retry_after_seconds=_RETRY_SECONDS,
            )
        check_may_queue(connection, tenant, task, self._default_limits)


def training_store(settings: Settings, database: Database) -> TrainingStore:
    """Build a store with the operator's limits."""
    return TrainingStore(
        database,
        max_queued=settings.max_queued_trainings,
        max_kept_per_tenant=settings.max_kept_trainings_per_tenant,
        default_limits=settings.default_limits,
    )
