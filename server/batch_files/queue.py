"""The order in which batch files run, within a transaction of the database."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from prefixes.registry.tables import batch_files, tenants


class _Waiting(NamedTuple):
    """A queued file, in the order in which it runs."""

    since: datetime
    id: str


def find_next(connection: Connection) -> str | None:
    """Find the queued file that runs next.

    One file of each tenant runs at a time, its oldest first. The tenant comes first whose file
    has waited longest since it ran.
    """
    waiting = _waiting(connection)
    return min(waiting).id if waiting else None


def has_waiting(connection: Connection) -> bool:
    """Return whether a file of a tenant without a running one is queued."""
    return bool(_waiting(connection))


def _waiting(connection: Connection) -> list[_Waiting]:
    """Return the oldest queued file of each tenant that has none running."""
    columns = batch_files.c
    running = select(columns.tenant_id).where(columns.state == "running")
    first = func.min(columns.id)  # ids increase with time
    oldest = (
        select(first)
        .join(tenants, tenants.c.id == columns.tenant_id)
        .where(
            columns.state == "queued",
            columns.tenant_id.not_in(running),
            tenants.c.suspended_at.is_(None),
            tenants.c.deleted_at.is_(None),
        )
        .group_by(columns.tenant_id)
    )
    query = select(columns.id, columns.created_at, columns.paused_at)
    found = connection.execute(query.where(columns.id.in_(oldest))).all()
    return [_Waiting(row.paused_at or row.created_at, row.id) for row in found]
