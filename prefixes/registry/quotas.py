"""Quotas: what a tenant stores, compared with its limits, within a transaction."""

from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection, func, select

from prefixes.errors import QuotaExceeded
from prefixes.limits import UNLIMITED, LimitName, Limits, LimitSet
from prefixes.registry.limit_rows import effective_limits
from prefixes.registry.recorded_answer_rows import find_stored_bytes
from prefixes.registry.tables import batch_files, deleted_versions, prefixes, tenants, versions
from prefixes.registry.tenants import find_tenant_id

_EXISTING: Final = (
    select(func.count(), func.count(versions.c.prefix_id.distinct()))
    .select_from(versions)
    .join(prefixes, prefixes.c.id == versions.c.prefix_id)
    .where(prefixes.c.deleted_at.is_(None))
)
_BYTES: Final = tuple(
    select(func.coalesce(func.sum(table.c.size_bytes), 0))
    .select_from(table)
    .join(prefixes, prefixes.c.id == table.c.prefix_id)
    for table in (versions, deleted_versions)
)
"""The bytes of versions, and of deleted ones. Each counts both existing and deleted tasks."""


@dataclass(frozen=True, slots=True)
class StoredAmounts:
    """The amounts that a tenant stores. The bytes of a file that two tasks have count twice.

    What is deleted counts by its bytes until it is removed. Recorded answers and batch files count
    by their bytes.
    """

    versions: int
    bytes: int
    prefixes: int


def find_stored(connection: Connection, tenant_id: int) -> StoredAmounts:
    """Count what a tenant stores."""
    owned = prefixes.c.tenant_id == tenant_id
    num_versions, num_prefixes = connection.execute(_EXISTING.where(owned)).one()
    num_bytes = _bytes_of_versions(connection, tenant_id)
    num_bytes += find_stored_bytes(connection, tenant_id)
    num_bytes += _bytes_of_batch_files(connection, tenant_id)
    return StoredAmounts(num_versions, num_bytes, num_prefixes)


def find_answer_room(
    connection: Connection, tenant_id: int, max_bytes: int, defaults: LimitSet
) -> int:
    """Return how many bytes of answers a tenant may store in addition; negative if too many.

    `max_bytes` limits its answers, in addition to the tenant's limit on all stored bytes.
    """
    allowed = effective_limits(connection, tenant_id, defaults).max_stored_bytes
    if allowed < UNLIMITED:
        others = _bytes_of_versions(connection, tenant_id)
        others += _bytes_of_batch_files(connection, tenant_id)
        max_bytes = min(max_bytes, int(allowed) - others)
    return max_bytes - find_stored_bytes(connection, tenant_id)


def check_stored(connection: Connection, tenant: str, defaults: LimitSet) -> None:
    """Check that a tenant stores no more than it may, in the transaction that adds a version.

    Raises:
        QuotaExceeded: names the first limit that is exceeded.
        TenantNotFound: when the tenant does not exist.
    """
    tenant_id, limits = _locked(connection, tenant, defaults)
    if _has_quota(limits):
        _check(find_stored(connection, tenant_id), limits, tenant)


def check_bytes(connection: Connection, tenant: str, defaults: LimitSet) -> None:
    """Check that a tenant stores no more bytes than it may, whatever else it has.

    Raises: as `check_stored`.
    """
    tenant_id, limits = _locked(connection, tenant, defaults)
    only_bytes = Limits(max_stored_bytes=limits.max_stored_bytes)
    if _has_quota(only_bytes):
        _check(find_stored(connection, tenant_id), only_bytes, tenant)


def check_room(connection: Connection, tenant: str, task: str | None, defaults: LimitSet) -> None:
    """Check that a tenant may store one more version, whose size is unknown yet.

    Args:
        connection: a transaction.
        tenant: the owner.
        task: the task of the version; None if it is not known yet either.
        defaults: the limits of tenants without limits of their own.

    Raises: as `check_stored`.
    """
    tenant_id, limits = _locked(connection, tenant, defaults)
    if not _has_quota(limits):
        return
    stored = find_stored(connection, tenant_id)
    is_new = task is not None and not _has_versions(connection, tenant_id, task)
    needed = replace(
        stored,
        versions=stored.versions + 1,
        bytes=stored.bytes + 1,
        prefixes=stored.prefixes + is_new,
    )
    _check(needed, limits, tenant)


def _bytes_of_versions(connection: Connection, tenant_id: int) -> int:
    owned = prefixes.c.tenant_id == tenant_id
    return sum(connection.scalar(query.where(owned)) or 0 for query in _BYTES)


def _bytes_of_batch_files(connection: Connection, tenant_id: int) -> int:
    total = select(func.coalesce(func.sum(batch_files.c.stored_bytes), 0))
    return int(connection.scalar(total.where(batch_files.c.tenant_id == tenant_id)) or 0)


def _locked(connection: Connection, tenant: str, defaults: LimitSet) -> tuple[int, Limits]:
    """Find the row and the limits of a tenant.

    The lock makes concurrent publications wait where a database has several writers. SQLite has
    only one, and ignores it.
    """
    tenant_id = find_tenant_id(connection, tenant)
    connection.execute(select(tenants.c.id).where(tenants.c.id == tenant_id).with_for_update())
    return tenant_id, effective_limits(connection, tenant_id, defaults)


def _has_quota(limits: Limits) -> bool:
    """Return whether anything must be counted, which takes long for a tenant with much."""
    return min(limits.max_prefixes, limits.max_versions, limits.max_stored_bytes) < UNLIMITED


def _has_versions(connection: Connection, tenant_id: int, task: str) -> bool:
    query = (
        select(versions.c.number)
        .join(prefixes, prefixes.c.id == versions.c.prefix_id)
        .where(
            prefixes.c.tenant_id == tenant_id,
            prefixes.c.task == task,
            prefixes.c.deleted_at.is_(None),
        )
        .limit(1)
    )
    return connection.scalar(query) is not None


def _check(stored: StoredAmounts, limits: Limits, tenant: str) -> None:
    amounts: dict[LimitName, tuple[int, str]] = {
        "max_prefixes": (stored.prefixes, "prefixes"),
        "max_versions": (stored.versions, "versions"),
        "max_stored_bytes": (stored.bytes, "stored bytes"),
    }
    for name, (amount, noun) in amounts.items():
        allowed: float = getattr(limits, name)
        if amount > allowed:
            raise QuotaExceeded(
                f"The tenant {tenant} would have at least {amount} {noun}, but its limit `{name}` "
                f"is {allowed:.0f}: delete what is no longer needed, or ask the operator for more",
                limit=name,
            )
