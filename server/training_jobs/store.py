"""TrainingStore: training jobs in the database: added, listed, cancelled, run and removed."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final

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
from server.training_jobs.endings import emit_finished
from server.training_jobs.records import FINISHED, JobRequest, JobState, TrainingJob
from server.training_jobs.running import RunningTrainings
from server.training_jobs.tenant_limits import check_may_queue

_RETRY_SECONDS: Final = 60
_RETENTION: Final = Actor("retention")


class TrainingStore(RunningTrainings):
    """Training jobs in the registry's database. Safe to use from many threads and processes.

    Every method raises StoreUnavailable when the database cannot be used.
    """

    def __init__(
        self,
        database: Database,
        *,
        max_queued: int,
        max_kept_per_tenant: int,
        default_limits: LimitSet,
    ) -> None:
        super().__init__(database, default_limits)
        self._max_kept_per_tenant = max_kept_per_tenant
        self._max_queued = max_queued

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

    def check_room(self, tenant: str, task: str) -> None:
        """Check that a new version of a tenant's task could be published.

        Raises:
            QuotaExceeded: when it could not.
        """
        with self._database.read() as connection:
            check_room(connection, tenant, task, self._default_limits)

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
