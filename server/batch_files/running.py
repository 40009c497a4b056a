"""RunningBatches: the batch files that servers run, in the database.

A server claims a file with its lease. Only that server changes it from then on.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, update

from prefixes.limits import Limits, LimitSet
from prefixes.registry import Database
from prefixes.registry.limit_rows import effective_limits, find_both_limits
from prefixes.registry.quotas import check_bytes
from prefixes.registry.tables import batch_files, now, tenants
from server.batch_files import rows
from server.batch_files.queue import find_next, has_waiting
from server.batch_files.records import BatchFile, BatchState, Checkpoint, RunningState
from server.batch_files.requeueing import requeue


class RunningBatches:
    """Claims batch files, and changes them until they have finished. Safe to use from many threads.

    Methods that take a claimed file raise LeaseLost when another server may run it now. Every
    method raises StoreUnavailable when the database cannot be used.
    """

    def __init__(self, database: Database, default_limits: LimitSet) -> None:
        self._database = database
        self._default_limits = default_limits

    def claim(self, hold: Callable[[Connection], str]) -> BatchFile | None:
        """Mark the next queued file as running; return None if the queue is empty.

        Files of suspended and deleted tenants stay queued. `hold` returns the lease that holds it.
        """
        with self._database.read() as connection:
            if find_next(connection) is None:
                return None  # most calls end here, and take no lock
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
            values = rows.columns_of(checkpoint)
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

    def has_waiting(self) -> bool:
        """Return whether another tenant waits for its turn."""
        with self._database.read() as connection:
            return has_waiting(connection)

    @contextmanager
    def _changing(self, batch: BatchFile) -> Iterator[Connection]:
        with self._database.write_activity() as connection:
            rows.check_held(connection, batch)
            yield connection
