"""The rows of tasks and versions: adding, finding and removing them within a transaction."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, insert, select, union, update

from prefixes.checks import parse_spec
from prefixes.errors import VersionInUse
from prefixes.names import MAX_VERSION, PrefixRef
from prefixes.registry.audit import record
from prefixes.registry.deletions import note_deleted
from prefixes.registry.grants import remove_readers
from prefixes.registry.lookup import not_found
from prefixes.registry.recorded_answer_rows import remove_answers
from prefixes.registry.tables import (
    alias_moves,
    aliases,
    canaries,
    deleted_versions,
    now,
    prefixes,
    recorded_answers,
    tenants,
    versions,
)
from prefixes.registry.tenants import find_tenant_id
from prefixes.registry.values import Actor, PrefixVersion, PublishedVersion
from prefixes.spec import PrefixSpec
from prefixes.staging import StagedBlob


@dataclass(frozen=True, slots=True)
class PrefixRow:
    """A task of a tenant, with the primary key of its row."""

    id: int
    tenant: str
    task: str

    def __str__(self) -> str:
        return f"{self.tenant}/{self.task}"

    def version(self, number: int) -> PrefixRef:
        return PrefixRef(self.tenant, self.task, version=number)


def open_prefix(connection: Connection, tenant: str, task: str) -> PrefixRow:
    """Find the row of a task, which is created if it is missing.

    Raises:
        TenantNotFound: when the tenant does not exist.
    """
    tenant_id = find_tenant_id(connection, tenant)
    here = (prefixes.c.tenant_id == tenant_id, prefixes.c.task == task)
    found: int | None = connection.scalar(select(prefixes.c.id).where(*here))
    if found is None:
        added = insert(prefixes).values(tenant_id=tenant_id, task=task, next_version=1)
        found = connection.execute(added.returning(prefixes.c.id)).scalar_one()
    return PrefixRow(found, tenant, task)


def find_prefix(connection: Connection, tenant: str, task: str) -> PrefixRow:
    """Find the row of a task that has at least one version.

    Raises:
        PrefixNotFound: when the task does not exist.
    """
    query = (
        select(versions.c.prefix_id)
        .join(prefixes, prefixes.c.id == versions.c.prefix_id)
        .join(tenants, tenants.c.id == prefixes.c.tenant_id)
        .where(tenants.c.name == tenant, prefixes.c.task == task)
        .limit(1)
    )
    found: int | None = connection.scalar(query)
    if found is None:
        raise not_found(f"{tenant}/{task}")
    return PrefixRow(found, tenant, task)


def add_version(
    connection: Connection, row: PrefixRow, staged: StagedBlob, spec: PrefixSpec, *, by: Actor
) -> PublishedVersion:
    """Add the bytes as the next version of a task, unless one of its versions has them."""
    known = _find(connection, row, versions.c.digest == staged.digest)
    if known is not None:
        return PublishedVersion(known, is_new=False)
    number = connection.execute(
        update(prefixes)
        .where(prefixes.c.id == row.id)
        .values(next_version=prefixes.c.next_version + 1)
        .returning(prefixes.c.next_version - 1)
    ).scalar_one()
    version = PrefixVersion(
        row.tenant,
        row.task,
        number,
        staged.digest,
        staged.size,
        now(),
        by.name,
        spec.task_type,
    )
    connection.execute(
        insert(versions).values(
            prefix_id=row.id,
            number=number,
            digest=version.digest,
            size_bytes=version.size_bytes,
            created_at=version.created_at,
            created_by=by.name,
            spec=spec.model_dump_json(),
            task_type=spec.task_type,
        )
    )
    digest = {"digest": version.digest}
    record(connection, by, "version.publish", version.ref, tenant=row.tenant, after=digest)
    return PublishedVersion(version, is_new=True)


def find_version(connection: Connection, row: PrefixRow, number: int) -> PrefixVersion:
    """Find a version by its number.

    Raises:
        PrefixNotFound: when the version does not exist.
    """
    found = _find(connection, row, versions.c.number == number)
    if found is None:
        raise not_found(row.version(number))
    return found


def find_spec(connection: Connection, row: PrefixRow, number: int) -> PrefixSpec:
    """Read the description of a version that exists."""
    text = connection.execute(select(versions.c.spec).where(*_at(row, number))).scalar_one()
    return parse_spec(text)


def find_digest(connection: Connection, row: PrefixRow, number: int) -> str:
    """Find the digest of a version.

    Raises:
        PrefixNotFound: when the version does not exist.
    """
    found: str | None = None
    if 0 < number <= MAX_VERSION:  # a database rejects larger numbers
        found = connection.scalar(select(versions.c.digest).where(*_at(row, number)))
    if found is None:
        raise not_found(row.version(number))
    return found


def remove_version(connection: Connection, row: PrefixRow, number: int, by: Actor) -> str:
    """Remove a version permanently, and return its digest.

    Raises:
        PrefixNotFound: when the version does not exist.
        VersionInUse: when an alias points to it, or it is the canary of one.
    """
    digest = find_digest(connection, row, number)
    check_unused(connection, row, number)
    connection.execute(delete(versions).where(*_at(row, number)))
    note_removed_version(connection, row, number, digest, by)
    return digest


def note_removed_version(
    connection: Connection, row: PrefixRow, number: int, digest: str, by: Actor
) -> None:
    """Record that a version was removed, and that nothing of it needs its bytes."""
    note_deleted(connection, [digest])
    name, before = row.version(number), {"digest": digest}
    record(connection, by, "version.purge", name, tenant=row.tenant, before=before)


def check_unused(connection: Connection, row: PrefixRow, number: int) -> None:
    """Check that nothing needs a version.

    Raises:
        VersionInUse: when an alias points to it, or it is the canary of one.
    """
    if users := ", ".join(_users(connection, row, number)):
        raise VersionInUse(
            f"{row.version(number)} cannot be deleted while it is in use: {users}; point the "
            "aliases to another version and cancel the canaries first, or delete the whole task"
        )


def remove_prefix(connection: Connection, row: PrefixRow, by: Actor) -> frozenset[str]:
    """Remove all versions, aliases, readers and recorded answers of a task.

    Returns the digests. The counter of versions stays.
    """
    queries = (
        select(table.c.digest).where(table.c.prefix_id == row.id)
        for table in (versions, deleted_versions)
    )
    digests = frozenset(connection.scalars(union(*queries)))
    remove_readers(connection, row.id)
    remove_answers(connection, recorded_answers.c.prefix_id == row.id)
    # In the order of references: canaries to aliases, both to versions.
    for table in (canaries, aliases, alias_moves, versions, deleted_versions):
        connection.execute(delete(table).where(table.c.prefix_id == row.id))
    note_deleted(connection, digests)
    before = {"digests": sorted(digests)}
    record(connection, by, "prefix.purge", row, tenant=row.tenant, before=before)
    return digests


def _at(row: PrefixRow, number: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return versions.c.prefix_id == row.id, versions.c.number == number


def _users(connection: Connection, row: PrefixRow, number: int) -> list[str]:
    """Describe what needs a version: aliases that point to it, and canaries."""
    pointing = select(aliases.c.name).where(
        aliases.c.prefix_id == row.id, aliases.c.version == number
    )
    trying = select(canaries.c.alias).where(
        canaries.c.prefix_id == row.id, canaries.c.version == number
    )
    return [
        *(f"the alias {name}" for name in sorted(connection.scalars(pointing))),
        *(f"the canary of {name}" for name in sorted(connection.scalars(trying))),
    ]


def _find(
    connection: Connection, row: PrefixRow, where: ColumnElement[bool]
) -> PrefixVersion | None:
    query = select(
        versions.c.number,
        versions.c.digest,
        versions.c.size_bytes,
        versions.c.created_at,
        versions.c.created_by,
        versions.c.task_type,
    ).where(versions.c.prefix_id == row.id, where)
    found = connection.execute(query).one_or_none()
    return None if found is None else PrefixVersion(row.tenant, row.task, *found)
