"""The statistics of the texts and answers of each version, by hour. They contain no text."""

import functools
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from prefixes.registry.database import Database
from prefixes.registry.outbox import emit
from prefixes.registry.tables import answer_hours
from prefixes.spec.statistics import AnswerStatistics


class AnsweringVersion(NamedTuple):
    """A task, and the digest of the version that answered: a later task may have its name."""

    tenant: str
    task: str
    digest: str


@dataclass(frozen=True, slots=True)
class AnswerHour:
    """The statistics of a version in the hour that begins at `hour`."""

    hour: datetime
    version: AnsweringVersion
    statistics: AnswerStatistics


class AnswerHours:
    """The statistics of all versions. Safe to use from many threads.

    Every method raises StoreUnavailable when the database cannot be used.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, rows: Sequence[AnswerHour]) -> None:
        """Add counts to the rows of their hours: all of them, or none if this fails."""
        with self._database.write_activity() as connection:
            for row in rows:
                _add(connection, row)

    def sum(self, version: AnsweringVersion, *, since: datetime) -> AnswerStatistics | None:
        """Add up the hours of a version that began at a moment or later; None without any."""
        query = select(answer_hours.c.statistics)
        query = query.where(*_of(version), answer_hours.c.hour >= since)
        with self._database.read() as connection:
            found = [
                AnswerStatistics.model_validate_json(text) for text in connection.scalars(query)
            ]
        return functools.reduce(operator.add, found) if found else None

    def report(self, version: AnsweringVersion, data: dict[str, Any], *, since: datetime) -> bool:
        """Queue the event `task.drifted`, unless it was reported for an hour since a moment.

        Returns:
            Whether the event is new.
        """
        where = (*_of(version), answer_hours.c.hour >= since)
        reported = select(answer_hours.c.hour).where(*where, answer_hours.c.is_reported).limit(1)
        with self._database.read() as connection:
            if connection.scalar(reported) is not None:
                return False  # most calls end here, and take no lock
        with self._database.write_activity() as connection:
            if connection.scalar(reported) is not None:
                return False
            connection.execute(update(answer_hours).where(*where).values(is_reported=True))
            emit(connection, version.tenant, "task.drifted", data)
        return True

    def remove_before(self, moment: datetime) -> None:
        """Remove the rows of all hours that began before a moment."""
        old = answer_hours.c.hour < moment
        with self._database.read() as connection:
            if connection.scalar(select(answer_hours.c.hour).where(old).limit(1)) is None:
                return  # most calls end here, and take no lock
        with self._database.write_activity() as connection:
            connection.execute(delete(answer_hours).where(old))


def remove_answer_hours(connection: Connection, tenant: str) -> None:
    """Remove the statistics of a tenant: a later tenant of its name must not see them."""
    connection.execute(delete(answer_hours).where(answer_hours.c.tenant == tenant))


def _of(version: AnsweringVersion) -> tuple[ColumnElement[bool], ...]:
    here = answer_hours.c
    return (
        here.tenant == version.tenant,
        here.task == version.task,
        here.digest == version.digest,
    )


def _add(connection: Connection, row: AnswerHour) -> None:
    where = (*_of(row.version), answer_hours.c.hour == row.hour)
    stored = connection.scalar(select(answer_hours.c.statistics).where(*where).with_for_update())
    if stored is not None:
        total = AnswerStatistics.model_validate_json(stored) + row.statistics
        query = update(answer_hours).where(*where)
        connection.execute(query.values(statistics=total.model_dump_json()))
        return
    connection.execute(
        insert(answer_hours).values(
            **row.version._asdict(),
            hour=row.hour,
            statistics=row.statistics.model_dump_json(),
            is_reported=False,
        )
    )
