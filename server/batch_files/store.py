"""BatchStore: batch files in the database, and the transitions between their states."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, delete, insert, select, update

from prefixes.limits import Limits, LimitSet
from prefixes.registry import COMMAND_LINE, Actor, Database
from prefixes.registry.audit import record
from prefixes.registry.limit_rows import effective_limits, find_both_limits
from prefixes.registry.quotas import check_bytes
from prefixes.registry.tables import batch_files, now, tenants
from prefixes.registry.tenants import find_tenant_id
from server.batch_files import rows
from server.batch_files.queue import find_next, has_waiting
from server.batch_files.records import (
    FINISHED,
    BatchFile,
    BatchRequest,
    BatchState,
    Checkpoint,
    RunningState,
)
from server.batch_files.requeueing import requeue
from server.errors import BatchRunning, LimitExceeded
from server.settings import Settings

_RETRY_SECONDS: Final = 60
RETENTION: Final = Actor("retention")


class BatchStore:
    """Batch files in the registry's database. Safe to use from many threads and processes.

    Methods that take a claimed file raise LeaseLost when another server may run it now. Every
    method raises StoreUnavailable when the database cannot be used.
    """

    def __init__(
        self, database: Database, *, max_unfinished_per_tenant: int, default_limits: LimitSet
    ) -> None:
        self._database = database
        self._max_unfinished = max_unfinished_per_tenant
        self._default_limits = default_limits

    def check_room(self, tenant: str) -> None:
        """Reject a file before its body is received, where the tenant may not add one.

        Raises:
            LimitExceeded: when the tenant has too many unfinished files.
            QuotaExceeded: when the tenant stores more bytes than it may.
        """
        with self._database.read() as connection:
            self._check_room(connection, tenant)

    def add(
        self, batch_id: str, request: BatchRequest, num_bytes: int, *, by: Actor = COMMAND_LINE
    ) -> BatchFile:
        """Queue a batch file whose rows are in its folder and have so many bytes.

        Raises:
            ActingKeyInvalid: when the key of the request became invalid while the file arrived.
            LimitExceeded, QuotaExceeded: as `check_room`, the new file included.
            TenantNotFound: when the tenant does not exist.
        """
        with self._database.write() as connection:
            self._check_room(connection, request.tenant)
            connection.execute(
                insert(batch_files).values(
                    id=batch_id,
                    tenant_id=find_tenant_id(connection, request.tenant),
                    key_id=request.key_id,
                    model=request.model,
                    options=json.dumps(request.options),
                    file_format=request.file_format,
                    state="queued",
                    is_cancelling=False,
                    created_at=now(),
                    stored_bytes=num_bytes,
                    **_columns(Checkpoint()),
                )
            )
            check_bytes(connection, request.tenant, self._default_limits)
            added = {"model": request.model, "num_bytes": num_bytes}
            record(connection, by, "batch.create", batch_id, tenant=request.tenant, after=added)
            return rows.find(connection, batch_id)

    def find(self, tenant: str | None, batch_id: str) -> BatchFile:
        """Read a batch file of a tenant, or of any tenant if it is None.

        Raises:
            BatchNotFound: when it does not exist.
        """
        with self._database.read() as connection:
            return rows.find(connection, batch_id, tenant)

    def list(self, tenant: str | None, *, before: str | None, limit: int) -> list[BatchFile]:
        """List batch files of a tenant, or of all, newest first.

        `before` is the last id of the page before.
        """
        query = rows.SELECT.order_by(batch_files.c.id.desc())
        if tenant is not None:
            query = query.where(tenants.c.name == tenant)
        if before is not None:
            query = query.where(batch_files.c.id < before)
        with self._database.read() as connection:
            return [rows.batch_file(row) for row in connection.execute(query.limit(limit))]

    def cancel(self, tenant: str | None, batch_id: str, *, by: Actor = COMMAND_LINE) -> BatchFile:
        """Cancel a queued file, tell a running one to stop, leave a finished one unchanged.

        Raises:
            ActingKeyInvalid: when the key of the request became invalid.
            BatchNotFound: as `find`.
        """

        def cancel(connection: Connection) -> BatchFile:
            found = rows.find(connection, batch_id, tenant)
            if found.is_finished or found.is_cancelling:
                return found
            if found.state == "queued":
                rows.finish(connection, batch_id, "cancelled")
            else:
                rows.change(connection, batch_id, is_cancelling=True)
            owner, was = found.request.tenant, {"state": found.state}
            record(connection, by, "batch.cancel", batch_id, tenant=owner, before=was)
            return rows.find(connection, batch_id)

        return self._database.free(cancel)

    def claim(self, hold: Callable[[Connection], str]) -> BatchFile | None:
        """Mark the next queued file as running; return None if the queue is empty.

        Files of suspended and deleted tenants stay queued. `hold` returns the lease that holds it.
        """
        with self._database.read() as connection:
            if find_next(connection) is None:
                return None  # polled often: without the lock of a writer
        with self._database.write_activity() as connection:
            found = find_next(connection)
            if found is None:
                return None
            started = batch_files.c.started_at
            connection.execute(
                update(batch_files)
                .where(batch_files.c.id == found, started.is_(None))
                .values(started_at=now())
            )
            rows.change(connection, found, state="running", holder=hold(connection))
            return rows.find(connection, found)

    def has_waiting(self) -> bool:
        """Return whether another tenant waits for its turn."""
        with self._database.read() as connection:
            return has_waiting(connection)

    def requeue(self, batch: BatchFile) -> None:
        """Put a claimed file back into the queue, unless its owner has cancelled it."""
        with self._changing(batch) as connection:
            requeue(connection, batch.id)

    def note_own_folder(self, batch: BatchFile) -> None:
        """Note that no process of an earlier holder can write to the folder any more."""
        with self._changing(batch) as connection:
            rows.change(connection, batch.id, is_taken_over=False)

    def begin(self, batch: BatchFile, num_rows: int) -> None:
        """Note how many rows a claimed file has."""
        with self._changing(batch) as connection:
            rows.change(connection, batch.id, num_rows=num_rows)

    def save(self, batch: BatchFile, checkpoint: Checkpoint, stored_bytes: int) -> None:
        """Save how far a claimed file is.

        Raises:
            QuotaExceeded: when the tenant stores more bytes than it may. It is saved nevertheless.
        """
        with self._changing(batch) as connection:
            values = _columns(checkpoint)
            rows.change(connection, batch.id, stored_bytes=stored_bytes, **values)
        with self._database.read() as connection:
            check_bytes(connection, batch.request.tenant, self._default_limits)

    def running_state(self, batch: BatchFile) -> RunningState:
        """Read whether a claimed file must stop or pause, and its limits."""
        with self._database.read() as connection:
            rows.check_held(connection, batch)
            found = connection.execute(
                rows.SELECT.add_columns(tenants.c.suspended_at, tenants.c.deleted_at).where(
                    batch_files.c.id == batch.id
                )
            ).one()
            defaults = self._default_limits
            if found.key_id is None:
                limits = effective_limits(connection, found.tenant_id, defaults), Limits()
            else:
                limits = find_both_limits(connection, found.tenant_id, found.key_id, defaults)
            is_paused = found.suspended_at is not None or found.deleted_at is not None
            return RunningState(found.is_cancelling, is_paused, *limits)

    def finish(
        self, batch: BatchFile, state: BatchState, *, problem: Mapping[str, Any] | None = None
    ) -> None:
        """Mark a claimed file as finished."""
        with self._changing(batch) as connection:
            rows.finish(connection, batch.id, state, problem)

    def num_in(self, state: BatchState) -> int:
        """Return the number of batch files in a state."""
        with self._database.read() as connection:
            return connection.execute(rows.count().where(batch_files.c.state == state)).scalar_one()

    def ids(self) -> frozenset[str]:
        """Return the ids of all batch files."""
        with self._database.read() as connection:
            return frozenset(connection.scalars(select(batch_files.c.id)))

    def removable(self, *, finished_before: datetime, deleted_before: datetime) -> Sequence[str]:
        """Return the ids of old finished files, and of all files of tenants deleted long ago."""
        is_removed = tenants.c.deleted_at < deleted_before
        query = (
            select(batch_files.c.id)
            .join(tenants, tenants.c.id == batch_files.c.tenant_id)
            .where(
                (batch_files.c.ended_at < finished_before)
                | (is_removed & (batch_files.c.state != "running"))
            )
        )
        with self._database.read() as connection:
            return connection.scalars(query).all()

    def remove(self, batch_id: str, *, by: Actor = RETENTION, tenant: str | None = None) -> None:
        """Remove the row of a batch file. Remove its folder first.

        Raises:
            ActingKeyInvalid: when the key of the request became invalid.
            BatchNotFound: as `find`.
            BatchRunning: when it runs.
        """

        def remove(connection: Connection) -> None:
            found = rows.find(connection, batch_id, tenant)
            if found.state == "running":
                raise running_error()
            was = {"state": found.state}
            owner = found.request.tenant
            record(connection, by, "batch.delete", batch_id, tenant=owner, before=was)
            connection.execute(delete(batch_files).where(batch_files.c.id == batch_id))

        self._database.free(remove)

    @contextmanager
    def _changing(self, batch: BatchFile) -> Iterator[Connection]:
        with self._database.write_activity() as connection:
            rows.check_held(connection, batch)
            yield connection

    def _check_room(self, connection: Connection, tenant: str) -> None:
        tenant_id = find_tenant_id(connection, tenant)
        unfinished = rows.count().where(
            batch_files.c.tenant_id == tenant_id, batch_files.c.state.not_in(FINISHED)
        )
        found = connection.execute(unfinished).scalar_one()
        if found >= self._max_unfinished:
            raise LimitExceeded(
                f"The tenant {tenant} has {found} unfinished batches; at most "
                f"{self._max_unfinished} are allowed. Retry later, or cancel a batch.",
                limit="max_unfinished_batches",
                retry_after_seconds=_RETRY_SECONDS,
            )
        check_bytes(connection, tenant, self._default_limits)


def running_error() -> BatchRunning:
    """Make the error for a batch that cannot be deleted yet."""
    return BatchRunning("The batch is running. Cancel it, wait until it has stopped, and retry.")


def _columns(checkpoint: Checkpoint) -> dict[str, int]:
    return {
        "num_done": checkpoint.num_done,
        "num_failed": checkpoint.num_failed,
        "row_offset": checkpoint.row_offset,
        "result_bytes": checkpoint.result_bytes,
    }


def batch_store(settings: Settings, database: Database) -> BatchStore:
    """Build a store with the operator's limits."""
    return BatchStore(
        database,
        max_unfinished_per_tenant=settings.max_unfinished_batches_per_tenant,
        default_limits=settings.default_limits,
    )
