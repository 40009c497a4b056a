"""Rows of batch files in the database: finding and changing them."""

import json
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, func, select, update

from prefixes.registry import server_leases
from prefixes.registry.outbox import WebhookEvent, emit
from prefixes.registry.tables import batch_files, now, tenants
from server.batch_files.records import BatchFile, BatchRequest, BatchState, Checkpoint
from server.errors import BatchNotFound
from server.job_ids import is_id

SELECT: Final = select(batch_files, tenants.c.name.label("tenant")).join(
    tenants, tenants.c.id == batch_files.c.tenant_id
)


def count() -> Select[int]:
    """Count batch files; callers add what to count."""
    return select(func.count()).select_from(batch_files)


def change(connection: Connection, batch_id: str, **values: Any) -> None:
    """Set columns of one batch file."""
    connection.execute(update(batch_files).where(batch_files.c.id == batch_id).values(**values))


def check_held(connection: Connection, batch: BatchFile) -> None:
    """Check that the lease with which a file was claimed still holds it.

    Raises:
        LeaseLost: when it does not.
    """
    server_leases.check_held(connection, batch_files, batch.id, batch.holder)


def find(connection: Connection, batch_id: str, tenant: str | None = None) -> BatchFile:
    """Read one batch file, of a tenant if one is given.

    Raises:
        BatchNotFound: when it does not exist, or belongs to another tenant.
    """
    query = SELECT.where(batch_files.c.id == batch_id)
    if tenant is not None:
        query = query.where(tenants.c.name == tenant)
    row = connection.execute(query).one_or_none() if is_id(batch_id) else None
    if row is None:
        raise BatchNotFound(
            f"Batch {batch_id[:80]!r} does not exist, or was removed. List the batches."
        )
    return batch_file(row)


def finish(
    connection: Connection,
    batch_id: str,
    state: BatchState,
    problem: Mapping[str, Any] | None = None,
) -> None:
    """Set the final state, and queue the event for webhooks. The rows count no more as stored."""
    connection.execute(
        update(batch_files)
        .where(batch_files.c.id == batch_id)
        .values(
            state=state,
            holder=None,
            is_cancelling=False,
            ended_at=now(),
            stored_bytes=batch_files.c.result_bytes,
            problem=None if problem is None else json.dumps(problem),
        )
    )
    finished = find(connection, batch_id)
    done = finished.checkpoint
    data = {
        "tenant": finished.request.tenant,
        "batch": batch_id,
        "state": state,
        "num_rows": finished.num_rows,
        "num_done": done.num_done,
        "num_failed": done.num_failed,
        "error": problem,
    }
    event: WebhookEvent = "batch.failed" if state == "failed" else "batch.finished"
    emit(connection, finished.request.tenant, event, data)


def batch_file(row: Row[Any]) -> BatchFile:
    """Convert a row of `SELECT`."""
    options = json.loads(row.options)
    return BatchFile(
        id=row.id,
        request=BatchRequest(row.tenant, row.model, options, row.file_format, row.key_id),
        state=row.state,
        is_cancelling=row.is_cancelling,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        num_rows=row.num_rows,
        checkpoint=Checkpoint(row.num_done, row.num_failed, row.row_offset, row.result_bytes),
        problem=None if row.problem is None else json.loads(row.problem),
        holder=row.holder,
        is_taken_over=row.is_taken_over,
    )


def columns_of(checkpoint: Checkpoint) -> dict[str, int]:
    """Return the values of the columns that hold a checkpoint."""
    return {
        "num_done": checkpoint.num_done,
        "num_failed": checkpoint.num_failed,
        "row_offset": checkpoint.row_offset,
        "result_bytes": checkpoint.result_bytes,
    }
