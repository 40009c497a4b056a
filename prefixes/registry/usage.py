"""The usage of each tenant by hour, for each task and for each key."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, Table, and_, delete, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from prefixes.registry.database import Database
from prefixes.registry.tables import key_usage_hours, usage_hours

UsageGroup = Literal["task", "key"]

_PAGE: Final = 500
_TABLES: Final[Mapping[UsageGroup, Table]] = {"task": usage_hours, "key": key_usage_hours}
_NAMES: Final[Mapping[UsageGroup, str]] = {"task": "task", "key": "key_id"}
_NO_TENANT: Final = ""
"""Tenant of the rows of callers without one: a column of a primary key cannot be null."""


class UsageKey(NamedTuple):
    """The place of a row: its hour, tenant, and task or key. Rows are listed in this order."""

    hour: datetime
    tenant: str | None
    name: str


@dataclass(frozen=True, slots=True)
class UsageRow:
    """The usage of a task by a tenant with a key, in the hour that begins at `hour`.

    `tenant` is the caller's, None for anonymous callers and operators. `task` is `owner/task`. In
    lists, either `task` or `key_id` is None: a row is a sum over all tasks or over all keys.
    """

    hour: datetime
    tenant: str | None
    task: str | None
    requests: int = 0
    texts: int = 0
    tokens: int = 0
    device_seconds: float = 0.0
    training_cpu_seconds: float = 0.0
    key_id: str | None = None

    @property
    def place(self) -> UsageKey:
        return UsageKey(self.hour, self.tenant, self.task or self.key_id or "")


@dataclass(frozen=True, slots=True)
class UsageFilter:
    """Conditions on rows; None accepts all. `since` is inclusive, `until` is not.

    `by` selects the sums. `task` is for those by task, and `key_id` for those by key.
    """

    tenant: str | None = None
    task: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    key_id: str | None = None
    by: UsageGroup = "task"

    def conditions(self, table: Table) -> list[ColumnElement[bool]]:
        """Return the conditions as SQL."""
        found: list[ColumnElement[bool]] = [
            table.c[name] == value
            for name in ("tenant", _NAMES[self.by])
            if (value := getattr(self, name)) is not None
        ]
        if self.since is not None:
            found.append(table.c.hour >= self.since)
        if self.until is not None:
            found.append(table.c.hour < self.until)
        return found


def add_usage(connection: Connection, rows: Sequence[UsageRow]) -> None:
    """Add amounts to the rows of their hours, within a transaction."""
    for by, table in _TABLES.items():
        _add(connection, table, [row for row in rows if getattr(row, _NAMES[by]) is not None])


def remove_usage(connection: Connection, tenant: str) -> None:
    """Remove what a tenant used: a later tenant of its name must not see it."""
    for table in _TABLES.values():
        connection.execute(delete(table).where(table.c.tenant == tenant))


class UsageLog:
    """The usage of all tenants. Safe to use from many threads.

    Every method raises StoreUnavailable when the database cannot be used.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, rows: Sequence[UsageRow]) -> None:
        """Add amounts to the rows of their hours: all of them, or none if this fails."""
        with self._database.write_activity() as connection:
            add_usage(connection, rows)

    def list(
        self, where: UsageFilter, *, limit: int, after: UsageKey | None = None
    ) -> tuple[UsageRow, ...]:
        """List rows in the order of `UsageKey`; `after` is the last place of the previous page."""
        table = _TABLES[where.by]
        key = _key(table)
        query = select(table).where(*where.conditions(table))
        if after is not None:
            query = query.where(_is_beyond(after, *key))
        query = query.order_by(*key).limit(limit)
        with self._database.read() as connection:
            return tuple(_row(**found._asdict()) for found in connection.execute(query))

    def pages(self, where: UsageFilter) -> Iterator[tuple[UsageRow, ...]]:
        """Give all rows in pages of a few hundred."""
        after = None
        while page := self.list(where, limit=_PAGE, after=after):
            yield page
            after = page[-1].place

    def remove_before(self, moment: datetime) -> None:
        """Remove the rows of all hours that began before a moment."""
        for table in _TABLES.values():
            self._remove_before(table, moment)

    def _remove_before(self, table: Table, moment: datetime) -> None:
        old = table.c.hour < moment
        with self._database.read() as connection:
            if connection.scalar(select(table.c.hour).where(old).limit(1)) is None:
                return  # most calls end here, and take no lock
        with self._database.write_activity() as connection:
            connection.execute(delete(table).where(old))


def _key(table: Table) -> tuple[Column[Any], ...]:
    return tuple(column for column in table.c if column.primary_key)


def _add(connection: Connection, table: Table, rows: Iterable[UsageRow]) -> None:
    values = [_values(table, row) for row in rows]
    if not values:
        return
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    added = dialect.insert(table)
    amounts = (column for column in table.c if not column.primary_key)
    sums = {column.name: column + added.excluded[column.name] for column in amounts}
    query = added.on_conflict_do_update(index_elements=list(_key(table)), set_=sums)
    connection.execute(query, values)


def _values(table: Table, row: UsageRow) -> dict[str, Any]:
    values = {column.name: getattr(row, column.name) for column in table.c}
    return values | {"tenant": row.tenant or _NO_TENANT}


def _row(*, hour: datetime, tenant: str, task: str | None = None, **values: Any) -> UsageRow:
    return UsageRow(hour, tenant or None, task, **values)


def _is_beyond(
    last: UsageKey, hour: Column[Any], tenant: Column[Any], name: Column[Any]
) -> ColumnElement[bool]:
    owner = last.tenant or _NO_TENANT
    has_later_name = and_(tenant == owner, name > last.name)
    return or_(hour > last.hour, and_(hour == last.hour, or_(tenant > owner, has_later_name)))
