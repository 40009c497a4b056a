"""BatchStore: batch files in the database: added, listed, cancelled, run and removed."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, delete, insert, select

from prefixes.limits import LimitSet
from prefixes.registry import COMMAND_LINE, Actor, Database
from prefixes.registry.audit import record
from prefixes.registry.quotas import check_bytes
from prefixes.registry.tables import batch_files, now, tenants
from prefixes.registry.tenants import find_tenant_id
from server.batch_files import rows
from server.batch_files.records import FINISHED, BatchFile, BatchRequest, BatchState, Checkpoint
from server.batch_files.running import RunningBatches
from server.errors import BatchRunning, LimitExceeded
from server.settings import Settings

_RETRY_SECONDS: Final = 60
RETENTION: Final = Actor("retention")


class BatchStore(RunningBatches):
    """Batch files in the registry's database. Safe to use from many threads and processes.

    Every method raises StoreUnavailable when the database cannot be used.
    """

    def __init__(
        self, database: Database, *, max_unfinished_per_tenant: int, default_limits: LimitSet
    ) -> None:
        super().__init__(database, default_limits)
        self._max_unfinished = max_unfinished_per_tenant

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
                    **rows.columns_of(Checkpoint()),
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


def batch_store(settings: Settings, database: Database) -> BatchStore:
    """Build a store with the operator's limits."""
    return BatchStore(
        database,
        max_unfinished_per_tenant=settings.max_unfinished_batches_per_tenant,
        default_limits=settings.default_limits,
    )
