"""TrainingStore: the rows of trainings, and the transitions between their states."""

import json
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, delete, func, insert, select, update

from prefixes.registry import Database
from prefixes.registry.tables import now, tenants, trainings
from prefixes.registry.tenants import find_tenant_id
from server.errors import Overloaded, TrainingNotFound
from server.settings import Settings
from server.training_jobs.records import ENDED, JobRequest, JobState, TrainingJob

_RETRY_SECONDS: Final = 60
_ID: Final = re.compile(r"[0-9a-z-]{1,64}", re.ASCII)
_SELECT: Final = select(trainings, tenants.c.name.label("tenant")).join(
    tenants, tenants.c.id == trainings.c.tenant_id
)


def new_id() -> str:
    """Make an id that nobody guesses, and that is greater than all earlier ones."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(6)}"


class TrainingStore:
    """Trainings in the registry's database. Safe to use from many threads and processes.

    Every method raises StoreUnavailable when the database cannot be used.
    """

    def __init__(
        self,
        database: Database,
        *,
        max_queued: int,
        max_queued_per_tenant: int,
        max_kept_per_tenant: int,
    ) -> None:
        self._database = database
        self._max_kept_per_tenant = max_kept_per_tenant
        self._max_queued = max_queued
        self._max_queued_per_tenant = max_queued_per_tenant

    def check_room(self, tenant: str) -> None:
        """Refuse what would be refused after its body, too.

        Raises:
            Overloaded: when the tenant, or all together, have as many queued as there may be.
        """
        with self._database.read() as connection:
            self._check_room(connection, tenant)

    def add(self, training_id: str, request: JobRequest) -> TrainingJob:
        """Queue a training whose files are in their folder.

        Raises:
            Overloaded: as `check_room`.
            TenantNotFound: when there is no such tenant.
        """
        with self._database.write() as connection:
            self._check_room(connection, request.tenant)
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
                )
            )
            return _find(connection, training_id, request.tenant)

    def beyond_bound(self, tenant: str) -> Sequence[str]:
        """The ids of a tenant's oldest trainings that have ended, as far as it has too many."""
        older = (
            select(trainings.c.id)
            .join(tenants)
            .where(tenants.c.name == tenant)
            .order_by(trainings.c.id.desc())
            .offset(self._max_kept_per_tenant)
        )
        with self._database.read() as connection:
            beyond = connection.scalars(older).all()
            old = (trainings.c.id.in_(beyond), trainings.c.state.in_(ENDED))
            return connection.scalars(select(trainings.c.id).where(*old)).all()

    def find(self, tenant: str, training_id: str) -> TrainingJob:
        """Read a training of a tenant.

        Raises:
            TrainingNotFound: when the tenant has none with this id.
        """
        with self._database.read() as connection:
            return _find(connection, training_id, tenant)

    def list(self, tenant: str, *, before: str | None, limit: int) -> list[TrainingJob]:
        """List a tenant's trainings, the latest first; `before` is the last id already known."""
        query = _SELECT.where(tenants.c.name == tenant).order_by(trainings.c.id.desc())
        if before is not None:
            query = query.where(trainings.c.id < before)
        with self._database.read() as connection:
            return [_training(row) for row in connection.execute(query.limit(limit))]

    def cancel(self, tenant: str, training_id: str) -> TrainingJob:
        """Cancel what is queued, ask what is running to stop, leave alone what has ended.

        Raises:
            TrainingNotFound: as `find`.
        """

        def cancel(connection: Connection) -> TrainingJob:
            found = _find(connection, training_id, tenant)
            if found.state == "queued":
                _set(connection, training_id, state="cancelled", ended_at=now())
            elif found.state == "running":
                _set(connection, training_id, is_cancelling=True)
            return _find(connection, training_id, tenant)

        return self._database.free(cancel)

    def claim(self) -> TrainingJob | None:
        """Let the first of the queue be running; None when nothing waits."""
        first = select(trainings.c.id).where(trainings.c.state == "queued")
        with self._database.read() as connection:
            if connection.scalar(first.limit(1)) is None:
                return None  # without the lock of a writer, twice a second
        with self._database.write() as connection:
            found = connection.scalar(first.order_by(trainings.c.id).limit(1))
            if found is None:
                return None
            _set(connection, found, state="running", started_at=now())
            return _find(connection, found)

    def requeue_running(self) -> None:
        """Queue again what ran when a server ended. For the next start, before any `claim`."""
        here = trainings.c.state == "running"
        with self._database.write() as connection:
            connection.execute(
                update(trainings)
                .where(here, trainings.c.is_cancelling)
                .values(state="cancelled", ended_at=now())
            )
            connection.execute(update(trainings).where(here).values(state="queued"))

    def note_crash(self, training_id: str) -> int:
        """Count a worker that died; returns how many have."""
        with self._database.write() as connection:
            _set(connection, training_id, num_crashes=trainings.c.num_crashes + 1)
            return _find(connection, training_id).num_crashes

    def is_cancelling(self, training_id: str) -> bool:
        """Say whether somebody has asked it to stop."""
        with self._database.read() as connection:
            return _find(connection, training_id).is_cancelling

    def end(
        self,
        training_id: str,
        state: JobState,
        *,
        problem: Mapping[str, Any] | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> None:
        """Let a training have ended."""
        with self._database.write() as connection:
            _set(
                connection,
                training_id,
                state=state,
                is_cancelling=False,
                ended_at=now(),
                problem=None if problem is None else json.dumps(problem),
                result=None if result is None else json.dumps(result),
            )

    def num_in(self, state: JobState) -> int:
        """Count the trainings in a state."""
        with self._database.read() as connection:
            return connection.execute(_count().where(trainings.c.state == state)).scalar_one()

    def ids(self) -> frozenset[str]:
        """The ids of all trainings."""
        with self._database.read() as connection:
            return frozenset(connection.scalars(select(trainings.c.id)))

    def ended(self, before: datetime) -> Sequence[str]:
        """The ids of the trainings that ended before a moment."""
        with self._database.read() as connection:
            query = select(trainings.c.id).where(trainings.c.ended_at < before)
            return connection.scalars(query).all()

    def remove(self, ids: Sequence[str]) -> None:
        """Forget trainings that have ended. Their folders go first: no folder without a row is
        ever deleted.
        """
        query = delete(trainings).where(trainings.c.id.in_(ids))
        self._database.free(lambda connection: connection.execute(query))

    def _check_room(self, connection: Connection, tenant: str) -> None:
        query = _count().where(trainings.c.state == "queued")
        of_tenant = query.join(tenants).where(tenants.c.name == tenant)
        total = connection.execute(query).scalar_one()
        theirs = connection.execute(of_tenant).scalar_one()
        if total >= self._max_queued or theirs >= self._max_queued_per_tenant:
            raise Overloaded(
                f"{theirs} trainings of {tenant} wait, and at most {self._max_queued_per_tenant} "
                f"may, and {self._max_queued} of all tenants: come back later, or cancel one",
                retry_after_seconds=_RETRY_SECONDS,
            )


def training_store(settings: Settings, database: Database) -> TrainingStore:
    """Open the rows of trainings with an operator's bounds."""
    return TrainingStore(
        database,
        max_queued=settings.max_queued_trainings,
        max_queued_per_tenant=settings.max_queued_trainings_per_tenant,
        max_kept_per_tenant=settings.max_kept_trainings_per_tenant,
    )


def _count() -> Select[int]:
    return select(func.count()).select_from(trainings)


def _set(connection: Connection, training_id: str, **values: Any) -> None:
    connection.execute(update(trainings).where(trainings.c.id == training_id).values(**values))


def _find(connection: Connection, training_id: str, tenant: str | None = None) -> TrainingJob:
    query = _SELECT.where(trainings.c.id == training_id)
    if tenant is not None:
        query = query.where(tenants.c.name == tenant)
    # PostgreSQL takes no NUL: only what may be an id is asked for.
    row = connection.execute(query).one_or_none() if _ID.fullmatch(training_id) else None
    if row is None:
        raise TrainingNotFound(
            f"There is no training {training_id[:80]!r} here, or it was removed: list them"
        )
    return _training(row)


def _training(row: Row[Any]) -> TrainingJob:
    return TrainingJob(
        id=row.id,
        request=JobRequest(row.tenant, row.task, row.alias, row.margin, json.loads(row.config)),
        state=row.state,
        is_cancelling=row.is_cancelling,
        num_crashes=row.num_crashes,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        problem=None if row.problem is None else json.loads(row.problem),
        result=None if row.result is None else json.loads(row.result),
    )
