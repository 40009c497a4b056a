"""Purging: removes the rows of a tenant whose grace period after its deletion has passed."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, select, union

from prefixes.registry.answer_hours import remove_answer_hours
from prefixes.registry.audit import record
from prefixes.registry.deletions import note_deleted
from prefixes.registry.recorded_answer_rows import remove_feedback_of
from prefixes.registry.tables import (
    alias_moves,
    aliases,
    api_keys,
    batch_files,
    canaries,
    deleted_versions,
    grants,
    idempotency_keys,
    key_limits,
    prefixes,
    tenant_limits,
    tenants,
    training_cpu_time,
    trainings,
    versions,
)
from prefixes.registry.usage import remove_usage
from prefixes.registry.values import Actor
from prefixes.registry.webhook_rows import remove_webhooks


def purge_tenant(
    connection: Connection, name: str, *, before: datetime, by: Actor
) -> Sequence[str] | None:
    """Remove a tenant that was deleted before a moment, and return the digests of its versions.

    Returns None, and changes nothing, if the tenant was resumed, or still has trainings or
    batch files.
    """
    here = (tenants.c.name == name, tenants.c.deleted_at < before)
    found = connection.scalar(select(tenants.c.id).where(*here))
    if found is None or _has_files(connection, found):
        return None
    remove_feedback_of(connection, found)
    digests = _remove_prefixes(connection, found)
    connection.execute(delete(grants).where(grants.c.reader == name))
    keys = select(api_keys.c.id).where(api_keys.c.tenant_id == found)
    connection.execute(delete(key_limits).where(key_limits.c.key_id.in_(keys)))
    for table in (api_keys, idempotency_keys, tenant_limits, training_cpu_time):
        connection.execute(delete(table).where(table.c.tenant_id == found))
    remove_usage(connection, name)
    remove_answer_hours(connection, name)
    remove_webhooks(connection, found)
    connection.execute(delete(tenants).where(tenants.c.id == found))
    record(connection, by, "tenant.purge", name, tenant=name, before={"name": name})
    return digests


def _has_files(connection: Connection, tenant_id: int) -> bool:
    """Return whether the tenant has rows that name files, which are removed before them."""
    return any(
        connection.scalar(select(table.c.id).where(table.c.tenant_id == tenant_id).limit(1))
        for table in (trainings, batch_files)
    )


def _remove_prefixes(connection: Connection, tenant_id: int) -> Sequence[str]:
    owned = select(prefixes.c.id).where(prefixes.c.tenant_id == tenant_id)
    queries = (
        select(table.c.digest).where(table.c.prefix_id.in_(owned))
        for table in (versions, deleted_versions)
    )
    digests = connection.scalars(union(*queries)).all()
    # In the order of references: canaries to aliases, both to versions.
    for table in (grants, canaries, aliases, alias_moves, versions, deleted_versions):
        connection.execute(delete(table).where(table.c.prefix_id.in_(owned)))
    connection.execute(delete(prefixes).where(prefixes.c.tenant_id == tenant_id))
    note_deleted(connection, digests)
    return digests
