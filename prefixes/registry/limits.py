"""LimitStore: the limits of tenants and keys in the database, and their changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from prefixes.errors import InvalidLimit, LimitsChanged
from prefixes.limits import (
    KEY_LIMITS,
    NOT_SET,
    LimitName,
    Limits,
    LimitSet,
    check_limit,
    printable,
    tag_of,
)
from prefixes.registry.audit import Action, record
from prefixes.registry.database import Database
from prefixes.registry.key_rows import find_key, no_key
from prefixes.registry.limit_rows import (
    change_key_limits,
    change_tenant_limits,
    find_key_limits,
    find_limits_of_keys,
    find_tenant_limits,
)
from prefixes.registry.quotas import StoredAmounts, find_stored
from prefixes.registry.tenants import find_tenant_id
from prefixes.registry.values import Actor

LimitChanges = Mapping[LimitName, float | None]
"""New values of limits; None returns to the default."""


@dataclass(frozen=True, slots=True)
class TenantLimits:
    """The limits that are set for a tenant, the ones that apply, and what it stores."""

    set: LimitSet
    applied: Limits
    stored: StoredAmounts


class LimitStore:
    """Limits of tenants and keys. A change applies to the next request.

    Safe to use from many threads. Every method raises StoreUnavailable when the database cannot
    be used.
    """

    def __init__(self, database: Database, defaults: LimitSet = NOT_SET) -> None:
        self._database = database
        self._defaults = defaults

    def of_tenant(self, tenant: str) -> TenantLimits:
        """Read the limits of a tenant.

        Raises:
            TenantNotFound: when the tenant does not exist, or is deleted.
        """
        with self._database.read() as connection:
            return self._of_tenant(connection, tenant)

    def of_key(self, tenant: str, key_id: str) -> LimitSet:
        """Read the limits of a tenant's key.

        Raises:
            KeyNotFound: when the tenant has no such key.
        """
        with self._database.read() as connection:
            return _of_key(connection, tenant, key_id)

    def of_keys(self, key_ids: Sequence[str]) -> dict[str, LimitSet]:
        """Read the limits of some keys, by id. Keys without limits are left out."""
        with self._database.read() as connection:
            return find_limits_of_keys(connection, key_ids)

    def change_tenant(
        self, tenant: str, changes: LimitChanges, *, tag: str | None = None, by: Actor
    ) -> TenantLimits:
        """Change limits of a tenant.

        Args:
            tenant: the tenant.
            changes: the limits to change.
            tag: the `tag_of` the limits that the caller has seen; None changes any.
            by: who changes them.

        Raises:
            InvalidLimit: when a value is out of range.
            LimitsChanged: when the limits have another tag.
            TenantNotFound: when the tenant does not exist, or is deleted.
        """
        _check_values(changes)

        def change(connection: Connection) -> TenantLimits:
            before = self._of_tenant(connection, tenant).set
            _check_tag(before, tag)
            change_tenant_limits(connection, find_tenant_id(connection, tenant), changes)
            _record(
                connection,
                by,
                "tenant.limits",
                tenant,
                tenant=tenant,
                before=before,
                changes=changes,
            )
            return self._of_tenant(connection, tenant)

        return self._database.free(change)  # must not wait for space on a full disk

    def change_key(
        self, tenant: str, key_id: str, changes: LimitChanges, *, tag: str | None = None, by: Actor
    ) -> LimitSet:
        """Change limits of a tenant's key. A key may not have more than its tenant has.

        Raises:
            InvalidLimit: when a value is out of range or exceeds the tenant's limit, or when keys
                do not have such a limit.
            LimitsChanged: when the limits have another tag.
            KeyNotFound: when the tenant has no such key.
        """
        _check_values(changes)
        _check_names_of_key(changes)

        def change(connection: Connection) -> LimitSet:
            before = _of_key(connection, tenant, key_id)
            _check_tag(before, tag)
            _check_below(changes, self._of_tenant(connection, tenant).applied)
            change_key_limits(connection, key_id, changes)
            _record(
                connection, by, "key.limits", key_id, tenant=tenant, before=before, changes=changes
            )
            return _of_key(connection, tenant, key_id)

        return self._database.free(change)

    def _of_tenant(self, connection: Connection, tenant: str) -> TenantLimits:
        tenant_id = find_tenant_id(connection, tenant)
        found = find_tenant_limits(connection, tenant_id)
        applied = Limits.of(self._defaults, found)
        return TenantLimits(found, applied, find_stored(connection, tenant_id))


def _of_key(connection: Connection, tenant: str, key_id: str) -> LimitSet:
    if find_key(connection, key_id).tenant != tenant:
        raise no_key(key_id)
    return find_key_limits(connection, key_id)


def _check_values(changes: LimitChanges) -> None:
    for name, value in changes.items():
        if value is not None:
            check_limit(name, value)


def _check_names_of_key(changes: LimitChanges) -> None:
    if others := sorted(changes.keys() - KEY_LIMITS):
        raise InvalidLimit(
            f"A key cannot have the limit `{others[0]}`: use {', '.join(sorted(KEY_LIMITS))}"
        )


def _check_below(changes: LimitChanges, of_tenant: Limits) -> None:
    for name, value in changes.items():
        allowed: float = getattr(of_tenant, name)
        if value is not None and value > allowed:
            raise InvalidLimit(
                f"Invalid `{name}`: {value:.10g} was given, but the limit of the tenant is "
                f"{allowed:.10g}: use at most that"
            )


def _check_tag(limits: LimitSet, tag: str | None) -> None:
    if tag is not None and tag != tag_of(limits):
        raise LimitsChanged(
            "The limits were not changed, because they are not those that `If-Match` names: read "
            "them, then repeat the request with the current `ETag`"
        )


def _record(
    connection: Connection,
    by: Actor,
    action: Action,
    changed: str,
    *,
    tenant: str,
    before: LimitSet,
    changes: LimitChanges,
) -> None:
    old = {name: before.get(name) for name in changes}
    if old != changes:
        record(
            connection,
            by,
            action,
            changed,
            tenant=tenant,
            before=_shown(old),
            after=_shown(changes),
        )


def _shown(limits: LimitChanges) -> dict[str, Any]:
    return {name: None if value is None else printable(value) for name, value in limits.items()}
