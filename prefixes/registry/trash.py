"""Deleted versions and tasks that can still be restored, within a transaction.

A deleted version moves to a table of its own, so that no query of versions can find it. A deleted
task keeps its rows, but loses its name to a new and empty row. The new row has the counter of the
old one, because numbers are not reused.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, delete, insert, literal, select, update

from prefixes.errors import PrefixExists
from prefixes.names import MAX_VERSION
from prefixes.registry.audit import record
from prefixes.registry.changes import (
    PrefixRow,
    check_unused,
    find_digest,
    note_removed_version,
    remove_prefix,
)
from prefixes.registry.lookup import not_found
from prefixes.registry.tables import (
    UtcDateTime,
    deleted_versions,
    now,
    prefixes,
    tenants,
    versions,
)
from prefixes.registry.values import Actor, DeletedPrefix, DeletedVersion

_COLUMNS: Final = [column.name for column in versions.c]


def trash_version(connection: Connection, row: PrefixRow, number: int, *, by: Actor) -> None:
    """Delete a version so that it can be restored.

    Raises:
        PrefixNotFound: when the version does not exist.
        VersionInUse: when an alias points to it, or it is the canary of one.
    """
    digest = find_digest(connection, row, number)
    check_unused(connection, row, number)
    here = (versions.c.prefix_id == row.id, versions.c.number == number)
    moment = literal(now(), UtcDateTime())
    moved = select(*versions.c, moment).where(*here)
    connection.execute(insert(deleted_versions).from_select([*_COLUMNS, "deleted_at"], moved))
    connection.execute(delete(versions).where(*here))
    name, before = row.version(number), {"digest": digest}
    record(connection, by, "version.delete", name, tenant=row.tenant, before=before)


def restore_version(connection: Connection, row: PrefixRow, number: int, *, by: Actor) -> None:
    """Undo the deletion of a version.

    Raises:
        PrefixNotFound: when there is no deleted version with this number.
    """
    digest = _find_trashed(connection, row, number)
    here = _at(row, number)
    columns = [deleted_versions.c[name] for name in _COLUMNS]
    moved = select(*columns).where(*here)
    connection.execute(insert(versions).from_select(_COLUMNS, moved))
    connection.execute(delete(deleted_versions).where(*here))
    name, after = row.version(number), {"digest": digest}
    record(connection, by, "version.restore", name, tenant=row.tenant, after=after)


def remove_trashed(connection: Connection, row: PrefixRow, number: int, by: Actor) -> str:
    """Remove a deleted version permanently, and return its digest.

    Raises:
        PrefixNotFound: when there is no deleted version with this number.
    """
    digest = _find_trashed(connection, row, number)
    connection.execute(delete(deleted_versions).where(*_at(row, number)))
    note_removed_version(connection, row, number, digest, by)
    return digest


def remove_trashed_prefix(connection: Connection, row: PrefixRow, by: Actor) -> frozenset[str]:
    """Remove a deleted task permanently, and return the digests of its versions."""
    digests = remove_prefix(connection, row, by)
    connection.execute(delete(prefixes).where(prefixes.c.id == row.id))
    return digests


def restore_bytes(connection: Connection, row: PrefixRow, digest: str, *, by: Actor) -> bool:
    """Undo the deletion of the version of a task that has these bytes; return false if none has."""
    here = (deleted_versions.c.prefix_id == row.id, deleted_versions.c.digest == digest)
    number = connection.scalar(select(deleted_versions.c.number).where(*here))
    if number is None:
        return False
    restore_version(connection, row, number, by=by)
    return True


def trash_prefix(connection: Connection, row: PrefixRow) -> None:
    """Delete a task so that it can be restored with its versions, aliases and readers."""
    here = prefixes.c.id == row.id
    former = connection.execute(
        select(prefixes.c.tenant_id, prefixes.c.next_version).where(here)
    ).one()
    # No task can have this name.
    hidden = {"task": f"#{row.id}", "deleted_task": row.task, "deleted_at": now()}
    connection.execute(update(prefixes).where(here).values(**hidden))
    connection.execute(
        insert(prefixes).values(
            tenant_id=former.tenant_id, task=row.task, next_version=former.next_version
        )
    )


def restore_prefix(connection: Connection, tenant: str, task: str) -> PrefixRow:
    """Undo the last deletion of a task.

    Raises:
        PrefixNotFound: when there is no deleted task with this name.
        PrefixExists: when there is a new task with this name.
    """
    row_id = next(iter(find_trashed_prefixes(connection, tenant, task)), None)
    if row_id is None:
        raise not_found(f"{tenant}/{task}")
    _remove_empty(connection, row_id, tenant, task)
    shown = {"task": task, "deleted_task": None, "deleted_at": None}
    connection.execute(update(prefixes).where(prefixes.c.id == row_id).values(**shown))
    return PrefixRow(row_id, tenant, task)


def find_trashed_prefixes(connection: Connection, tenant: str, task: str) -> Sequence[int]:
    """Find the rows of the deleted tasks with a name, the last deleted first."""
    query = (
        select(prefixes.c.id)
        .join(tenants, tenants.c.id == prefixes.c.tenant_id)
        .where(tenants.c.name == tenant, prefixes.c.deleted_task == task)
        .order_by(prefixes.c.deleted_at.desc(), prefixes.c.id.desc())
    )
    return connection.scalars(query).all()


def list_trash(
    connection: Connection, tenant: str
) -> tuple[tuple[DeletedPrefix, ...], tuple[DeletedVersion, ...]]:
    """List the deleted tasks of a tenant, and the deleted versions of its other tasks."""
    owned = prefixes.join(tenants, tenants.c.id == prefixes.c.tenant_id)
    named = tenants.c.name == tenant
    tasks = connection.execute(
        select(prefixes.c.deleted_task, prefixes.c.deleted_at)
        .select_from(owned)
        .where(named, prefixes.c.deleted_at.is_not(None))
        .order_by(prefixes.c.deleted_at.desc(), prefixes.c.id.desc())
    )
    single = connection.execute(
        select(
            prefixes.c.task,
            deleted_versions.c.number,
            deleted_versions.c.digest,
            deleted_versions.c.size_bytes,
            deleted_versions.c.deleted_at,
        )
        .select_from(deleted_versions.join(owned, prefixes.c.id == deleted_versions.c.prefix_id))
        .where(named, prefixes.c.deleted_at.is_(None))
        .order_by(prefixes.c.task, deleted_versions.c.number)
    )
    return (
        tuple(DeletedPrefix(tenant, *one) for one in tasks),
        tuple(DeletedVersion(tenant, *one) for one in single),
    )


def expired_versions(connection: Connection, before: datetime) -> list[tuple[PrefixRow, int]]:
    """Find the versions of existing tasks that were deleted before a moment."""
    query = (
        select(prefixes.c.id, tenants.c.name, prefixes.c.task, deleted_versions.c.number)
        .select_from(
            deleted_versions.join(prefixes, prefixes.c.id == deleted_versions.c.prefix_id).join(
                tenants, tenants.c.id == prefixes.c.tenant_id
            )
        )
        .where(deleted_versions.c.deleted_at < before, prefixes.c.deleted_at.is_(None))
    )
    return [(PrefixRow(*task), number) for *task, number in connection.execute(query)]


def expired_prefixes(connection: Connection, before: datetime) -> list[PrefixRow]:
    """Find the tasks that were deleted before a moment, under their former names."""
    query = (
        select(prefixes.c.id, tenants.c.name, prefixes.c.deleted_task)
        .join(tenants, tenants.c.id == prefixes.c.tenant_id)
        .where(prefixes.c.deleted_at < before)
    )
    return [PrefixRow(*row) for row in connection.execute(query)]


def _remove_empty(connection: Connection, restored: int, tenant: str, task: str) -> None:
    """Remove the row that has the name now, and hand its counter to the restored one."""
    current = connection.execute(
        select(prefixes.c.id, prefixes.c.next_version)
        .join(tenants, tenants.c.id == prefixes.c.tenant_id)
        .where(tenants.c.name == tenant, prefixes.c.task == task)
    ).one_or_none()
    if current is None:
        return
    for table in (versions, deleted_versions):
        query = select(table.c.number).where(table.c.prefix_id == current.id).limit(1)
        if connection.scalar(query) is not None:
            raise PrefixExists(
                f"{tenant}/{task} cannot be restored, because a new task has this name: delete "
                "the new one permanently first, or keep it"
            )
    connection.execute(delete(prefixes).where(prefixes.c.id == current.id))
    counter = {"next_version": current.next_version}
    connection.execute(update(prefixes).where(prefixes.c.id == restored).values(**counter))


def _find_trashed(connection: Connection, row: PrefixRow, number: int) -> str:
    """Find the digest of a deleted version.

    Raises:
        PrefixNotFound: when there is no deleted version with this number.
    """
    found: str | None = None
    if 0 < number <= MAX_VERSION:  # a database rejects larger numbers
        query = select(deleted_versions.c.digest).where(*_at(row, number))
        found = connection.scalar(query)
    if found is None:
        raise not_found(row.version(number))
    return found


def _at(row: PrefixRow, number: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return deleted_versions.c.prefix_id == row.id, deleted_versions.c.number == number
