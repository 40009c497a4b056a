"""Rows of training jobs in the database: finding, counting and changing them."""

import json
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, func, select, update

from prefixes.registry import server_leases
from prefixes.registry.tables import tenants, trainings
from server.errors import TrainingNotFound
from server.job_ids import is_id
from server.training_jobs.records import JobRequest, TrainingJob

SELECT: Final = select(trainings, tenants.c.name.label("tenant")).join(
    tenants, tenants.c.id == trainings.c.tenant_id
)


def count() -> Select[int]:
    """Count trainings; callers add what to count."""
    return select(func.count()).select_from(trainings)


def change(connection: Connection, training_id: str, **values: Any) -> None:
    """Set columns of one training."""
    connection.execute(update(trainings).where(trainings.c.id == training_id).values(**values))


def check_held(connection: Connection, job: TrainingJob) -> None:
    """Check that the lease with which a training was claimed still holds it.

    Raises:
        LeaseLost: when it does not.
    """
    server_leases.check_held(connection, trainings, job.id, job.holder)


def find(connection: Connection, training_id: str, tenant: str | None = None) -> TrainingJob:
    """Read one training, of a tenant if one is given.

    Raises:
        TrainingNotFound: when it does not exist, or belongs to another tenant.
    """
    query = SELECT.where(trainings.c.id == training_id)
    if tenant is not None:
        query = query.where(tenants.c.name == tenant)
    row = connection.execute(query).one_or_none() if is_id(training_id) else None
    if row is None:
        raise TrainingNotFound(
            f"Training {training_id[:80]!r} does not exist, or was removed. List the trainings."
        )
    return training_job(row)


def find_all(connection: Connection, ids: Sequence[str]) -> list[TrainingJob]:
    """Read the trainings with these ids that exist."""
    return [training_job(row) for row in connection.execute(SELECT.where(trainings.c.id.in_(ids)))]


def training_job(row: Row[Any]) -> TrainingJob:
    """Convert a row of `SELECT`."""
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
        holder=row.holder,
        is_taken_over=row.is_taken_over,
        key_id=row.key_id,
    )
