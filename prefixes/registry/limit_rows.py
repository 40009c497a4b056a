"""The rows of limits: reading and changing them within a transaction."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, cast

from sqlalchemy import (
    Column,
    Connection,
    Integer,
    String,
    Table,
    bindparam,
    delete,
    insert,
    null,
    select,
    union_all,
)
from sqlalchemy import cast as cast_to

from prefixes.limits import UNLIMITED, LimitName, Limits, LimitSet
from prefixes.registry.tables import key_limits, tenant_limits

_UNLIMITED: Final = -1.0

# Built once, and one query: it runs for every request whose key is not cached.
_OF_BOTH: Final = union_all(
    select(
        key_limits.c.key_id,
        cast_to(null(), Integer).label("tenant_id"),
        key_limits.c.name,
        key_limits.c.value,
    ).where(key_limits.c.key_id.in_(bindparam("key_ids", expanding=True))),
    select(
        cast_to(null(), String),
        tenant_limits.c.tenant_id,
        tenant_limits.c.name,
        tenant_limits.c.value,
    ).where(tenant_limits.c.tenant_id.in_(bindparam("tenant_ids", expanding=True))),
)

_OF_TENANT: Final = (tenant_limits, tenant_limits.c.tenant_id)
_OF_KEY: Final = (key_limits, key_limits.c.key_id)


def find_tenant_limits(connection: Connection, tenant_id: int) -> LimitSet:
    """Read the limits that are set for a tenant, by the primary key of its row."""
    return _find(connection, *_OF_TENANT, tenant_id)


def effective_limits(connection: Connection, tenant_id: int, defaults: LimitSet) -> Limits:
    """Read the limits that apply to a tenant: its own, and the defaults for the others."""
    return Limits.of(defaults, find_tenant_limits(connection, tenant_id))


def find_key_limits(connection: Connection, key_id: str) -> LimitSet:
    """Read the limits that are set for a key."""
    return _find(connection, *_OF_KEY, key_id)


def find_limits_of_keys(connection: Connection, key_ids: Sequence[str]) -> dict[str, LimitSet]:
    """Read the limits that are set for some keys, by id. Keys without limits are left out."""
    columns = key_limits.c
    rows = connection.execute(
        select(columns.key_id, columns.name, columns.value).where(columns.key_id.in_(key_ids))
    )
    found: dict[str, dict[LimitName, float]] = {}
    for key_id, name, value in rows:
        found.setdefault(key_id, {})[cast("LimitName", name)] = _loaded(value)
    return {**found}


def find_both_limits(
    connection: Connection, tenant_id: int, key_id: str, defaults: LimitSet
) -> tuple[Limits, Limits]:
    """Read the limits that apply to a tenant, and those of one of its keys."""
    found = find_limits_of(connection, [tenant_id], [key_id])
    return Limits.of(defaults, found[tenant_id]), Limits.of(found[key_id])


def find_limits_of(
    connection: Connection, tenant_ids: Collection[int], key_ids: Collection[str]
) -> dict[int | str, LimitSet]:
    """Read the limits that are set for tenants, by primary key, and for keys, by id."""
    ids: list[int | str] = [*tenant_ids, *key_ids]
    found: dict[int | str, dict[LimitName, float]] = {owner: {} for owner in ids}
    owners = {"tenant_ids": list(tenant_ids), "key_ids": list(key_ids)}
    for key_id, tenant_id, name, value in connection.execute(_OF_BOTH, owners):
        found[tenant_id if key_id is None else key_id][name] = _loaded(value)
    return {**found}


def change_tenant_limits(
    connection: Connection, tenant_id: int, changes: Mapping[LimitName, float | None]
) -> None:
    """Set limits of a tenant; None returns to the default."""
    _change(connection, *_OF_TENANT, tenant_id, changes)


def change_key_limits(
    connection: Connection, key_id: str, changes: Mapping[LimitName, float | None]
) -> None:
    """Set limits of a key; None removes one."""
    _change(connection, *_OF_KEY, key_id, changes)


def copy_key_limits(connection: Connection, key_id: str, to: str) -> None:
    """Give a new key the limits of another one."""
    change_key_limits(connection, to, find_key_limits(connection, key_id))


def _find(connection: Connection, table: Table, column: Column[Any], owner: object) -> LimitSet:
    rows = connection.execute(select(table.c.name, table.c.value).where(column == owner))
    return {cast("LimitName", name): _loaded(value) for name, value in rows}


def _loaded(value: float) -> float:
    return UNLIMITED if value == _UNLIMITED else value


def _change(
    connection: Connection,
    table: Table,
    column: Column[Any],
    owner: object,
    changes: Mapping[LimitName, float | None],
) -> None:
    connection.execute(delete(table).where(column == owner, table.c.name.in_(changes)))
    rows = [
        {
            column.name: owner,
            "name": name,
            "value": _UNLIMITED if value == UNLIMITED else value,
        }
        for name, value in changes.items()
        if value is not None
    ]
    if rows:
        connection.execute(insert(table), rows)
