"""The usage of each tenant, by task and hour."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, delete, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from prefixes.registry.database import Database
from prefixes.registry.tables import usage_hours

_PAGE: Final = 500
_KEY: Final = (usage_hours.c.hour, usage_hours.c.tenant, usage_hours.c.task)
_AMOUNTS: Final = (
    usage_hours.c.requests,
    usage_hours.c.texts,
    usage_hours.c.tokens,
    usage_hours.c.device_seconds,
    usage_hours.c.training_cpu_seconds,
)
_NO_TENANT: Final = ""
"""Tenant of the rows of callers without one: a column of a primary key cannot be null."""


class UsageKey(NamedTuple):
    """The row of one hour, of one tenant and task. Rows are listed in this order."""

    hour: datetime
    tenant: str | None
    task: str


@dataclass(frozen=True, slots=True)
class UsageRow:
    """The usage of a task by a tenant, in the hour that begins at `hour`.

    `tenant` is the caller's, None for anonymous callers and operators. `task` is `owner/task`.
    """

    hour: datetime
    tenant: str | None
    task: str
    requests: int = 0
    texts: int = 0
    tokens: int = 0
    device_seconds: float = 0.0
    training_cpu_seconds: float = 0.0

    @property
    def key(self) -> UsageKey:
        return UsageKey(self.hour, self.tenant, self.task)


@dataclass(frozen=True, slots=True)
class UsageFilter:
    """Conditions on rows; None accepts all. `since` is inclusive, `until` is not."""

    tenant: str | None = None
    task: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the conditions as SQL."""
        found: list[ColumnElement[bool]] = [
            usage_hours.c[name] == value
            for name in ("tenant", "task")
            if (value := getattr(self, name)) is not None
        ]
        if self.since is not None:
            found.append(usage_hours.c.hour >= self.since)
        if self.until is not None:
            found.append(usage_hours.c.hour < self.until)
        return found


def add_usage(connection: Connection, rows: Sequence[UsageRow]) -> None:
    """Add amounts to the rows of their hours, within a transaction."""
    if not rows:
        return
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    added = dialect.insert(usage_hours)
    sums = {column.name: column + added.excluded[column.name] for column in _AMOUNTS}
    query = added.on_conflict_do_update(index_elements=list(_KEY), set_=sums)
    connection.execute(query, [_values(row) for row in rows])


def remove_usage(connection: Connection, tenant: str) -> None:
    """Remove what a tenant used: a later tenant of its name must not see it."""
    connection.execute(delete(usage_hours).where(usage_hours.c.tenant == tenant))


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
        """List rows in the order of `UsageKey`; `after` is the last key of the previous page."""
        query = select(*_KEY, *_AMOUNTS).where(*where.conditions())
        if after is not None:
            query = query.where(_is_beyond(after))
        query = query.order_by(*_KEY).limit(limit)
        with self._database.read() as connection:
            return tuple(
                UsageRow(hour, tenant or None, *rest)
                for hour, tenant, *rest in connection.execute(query)
            )

    def pages(self, where: UsageFilter) -> Iterator[tuple[UsageRow, ...]]:
        """Give all rows in pages of a few hundred."""
        after = None
        while page := self.list(where, limit=_PAGE, after=after):
            yield page
            after = page[-1].key

    def remove_before(self, moment: datetime) -> None:
        """Remove the rows of all hours that began before a moment."""
        old = usage_hours.c.hour < moment
        with self._database.read() as connection:
            if connection.scalar(select(usage_hours.c.hour).where(old).limit(1)) is None:
                return  # mostly: without the lock of a writer
        with self._database.write_activity() as connection:
            connection.execute(delete(usage_hours).where(old))


def _values(row: UsageRow) -> dict[str, Any]:
    values = {column.name: getattr(row, column.name) for column in (*_KEY, *_AMOUNTS)}
    return values | {"tenant": row.tenant or _NO_TENANT}


def _is_beyond(last: UsageKey) -> ColumnElement[bool]:
    hour, tenant, task = _KEY
    owner = last.tenant or _NO_TENANT
    is_later_task = and_(tenant == owner, task > last.task)
    return or_(hour > last.hour, and_(hour == last.hour, or_(tenant > owner, is_later_task)))
