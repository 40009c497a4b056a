"""Leases of servers on the jobs that they run, within a transaction of the database they share.

A running job names its holder: the lease of a server. Another server takes the job over when that
lease has ended. Every change of a running job checks the holder in its transaction, so that a
server that has lost its lease changes nothing.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import Connection, Table, delete, func, insert, select, update

from prefixes.registry.tables import now, server_leases


class LeaseLost(Exception):
    """The lease on a job has ended: another server may run the job now."""


class RequeueHeld(Protocol):
    """Returns the jobs of one kind that a lease holds to their queue."""

    def __call__(self, connection: Connection, holder: str, *, is_taken_over: bool) -> int:
        """Requeue them, and return their number.

        `is_taken_over` says that processes of the holder may still be running.
        """
        ...


@dataclass(frozen=True, slots=True)
class OtherLease:
    """The lease of another server. `host` is the name of its machine."""

    id: str
    host: str
    is_expired: bool


def database_time(connection: Connection) -> datetime:
    """Return the time of the database: the clocks of machines differ. SQLite has none of its own.

    On PostgreSQL, `now()` would be the time before this transaction waited for others.
    """
    if connection.dialect.name == "sqlite":
        return now()
    found: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return found


def keep_lease(connection: Connection, lease_id: str, host: str, *, seconds: float) -> None:
    """Add a lease, or extend it to so many seconds from now."""
    if not extend_lease(connection, lease_id, seconds=seconds):
        expires_at = database_time(connection) + timedelta(seconds=seconds)
        values = {"id": lease_id, "host": host, "expires_at": expires_at}
        connection.execute(insert(server_leases).values(**values))


def extend_lease(connection: Connection, lease_id: str, *, seconds: float) -> bool:
    """Extend a lease to so many seconds from now. Returns false if it has ended.

    An expired lease that nobody has ended yet is extended, too.
    """
    expires_at = database_time(connection) + timedelta(seconds=seconds)
    here = update(server_leases).where(server_leases.c.id == lease_id)
    return connection.execute(here.values(expires_at=expires_at)).rowcount == 1


def end_lease(connection: Connection, lease_id: str) -> None:
    """Remove a lease. Requeue what it holds in the same transaction."""
    connection.execute(delete(server_leases).where(server_leases.c.id == lease_id))


def other_leases(connection: Connection, lease_id: str) -> tuple[OtherLease, ...]:
    """List the leases of all other servers."""
    query = select(server_leases).where(server_leases.c.id != lease_id)
    rows = connection.execute(query).all()
    if not rows:
        return ()
    moment = database_time(connection)
    return tuple(OtherLease(row.id, row.host, row.expires_at <= moment) for row in rows)


def check_held(connection: Connection, jobs: Table, job_id: str, holder: str | None) -> None:
    """Check that a lease still holds a job. None holds the jobs that do not run.

    Raises:
        LeaseLost: when it does not, or the job no longer exists.
    """
    query = select(jobs.c.id).where(jobs.c.id == job_id, jobs.c.holder.is_not_distinct_from(holder))
    if connection.scalar(query) is None:
        raise LeaseLost(f"{job_id} is no longer held by {holder}")


def held_by(connection: Connection, jobs: Table, holder: str) -> Collection[str]:
    """List the jobs that a lease holds."""
    return connection.scalars(select(jobs.c.id).where(jobs.c.holder == holder)).all()
