"""Retention rules: which old versions of a task are deleted, and when."""

from collections.abc import Collection, Iterable
from dataclasses import asdict
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, or_, select, union, update

from prefixes.registry.aliases import UNDOABLE
from prefixes.registry.audit import record
from prefixes.registry.changes import PrefixRow, find_prefix
from prefixes.registry.database import Database
from prefixes.registry.tables import (
    alias_moves,
    aliases,
    canaries,
    now,
    prefixes,
    tenants,
    versions,
)
from prefixes.registry.trash import trash_version
from prefixes.registry.values import Actor, RetentionRule


class Retention:
    """The retention rules of tasks. Safe to use from many threads.

    Every method raises StoreUnavailable when the database cannot be used.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, tenant: str, task: str) -> RetentionRule:
        """Read the rule of a task.

        Raises:
            PrefixNotFound: when the task does not exist.
        """
        with self._database.read() as connection:
            return _rule_of(connection, find_prefix(connection, tenant, task))

    def set(self, tenant: str, task: str, rule: RetentionRule, *, by: Actor) -> None:
        """Set the rule of a task. It applies to existing versions, too.

        Raises:
            PrefixNotFound: when the task does not exist.
        """
        with self._database.write() as connection:
            row = find_prefix(connection, tenant, task)
            before = _rule_of(connection, row)
            if before == rule:
                return
            connection.execute(
                update(prefixes).where(prefixes.c.id == row.id).values(**asdict(rule))
            )
            record(
                connection,
                by,
                "prefix.retention",
                row,
                tenant=tenant,
                before=asdict(before),
                after=asdict(rule),
            )

    def apply(self, *, by: Actor) -> int:
        """Delete the versions that the rules no longer keep, and return their number."""
        with self._database.read() as connection:  # a write would disturb the caches of answers
            if not any(_expired(connection, *one) for one in _with_rules(connection)):
                return 0
        return self._database.free(lambda connection: _delete_expired(connection, by))


def expired(
    ages: Iterable[tuple[int, datetime]],
    rule: RetentionRule,
    *,
    in_use: Collection[int],
    moment: datetime,
) -> list[int]:
    """Return the numbers of the versions that a rule does not keep.

    Args:
        ages: number and time of publication of each version.
        rule: keeps a version if any of its conditions does. Without conditions, it keeps all.
        in_use: numbers of versions that are kept in any case.
        moment: the current time.
    """
    if rule == RetentionRule():
        return []
    latest = moment - timedelta(days=rule.keep_days or 0)
    surplus = sorted(ages, reverse=True)[rule.keep_versions or 0 :]
    old = [number for number, created_at in surplus if created_at < latest]
    return [number for number in old if number not in in_use]


def _delete_expired(connection: Connection, by: Actor) -> int:
    num_deleted = 0
    for row, rule in _with_rules(connection):
        for number in _expired(connection, row, rule):
            trash_version(connection, row, number, by=by)
            num_deleted += 1
    return num_deleted


def _rule_of(connection: Connection, row: PrefixRow) -> RetentionRule:
    query = select(prefixes.c.keep_versions, prefixes.c.keep_days)
    return RetentionRule(*connection.execute(query.where(prefixes.c.id == row.id)).one())


def _with_rules(connection: Connection) -> list[tuple[PrefixRow, RetentionRule]]:
    query = (
        select(
            prefixes.c.id,
            tenants.c.name,
            prefixes.c.task,
            prefixes.c.keep_versions,
            prefixes.c.keep_days,
        )
        .join(tenants, tenants.c.id == prefixes.c.tenant_id)
        .where(
            prefixes.c.deleted_at.is_(None),
            tenants.c.deleted_at.is_(None),
            or_(prefixes.c.keep_versions.is_not(None), prefixes.c.keep_days.is_not(None)),
        )
    )
    return [
        (PrefixRow(*task), RetentionRule(keep_versions, keep_days))
        for *task, keep_versions, keep_days in connection.execute(query)
    ]


def _expired(connection: Connection, row: PrefixRow, rule: RetentionRule) -> list[int]:
    query = select(versions.c.number, versions.c.created_at).where(versions.c.prefix_id == row.id)
    ages = [(number, created_at) for number, created_at in connection.execute(query)]
    return expired(ages, rule, in_use=_in_use(connection, row), moment=now())


def _in_use(connection: Connection, row: PrefixRow) -> set[int]:
    """Find the versions that are aliases' targets, canaries, or targets of a rollback."""
    last = (
        select(func.max(alias_moves.c.id))
        .where(
            alias_moves.c.prefix_id == row.id,
            alias_moves.c.kind.in_(UNDOABLE),
            ~alias_moves.c.is_undone,
        )
        .group_by(alias_moves.c.alias)
    )
    used = union(
        select(aliases.c.version).where(aliases.c.prefix_id == row.id),
        select(canaries.c.version).where(canaries.c.prefix_id == row.id),
        select(alias_moves.c.from_version).where(
            alias_moves.c.id.in_(last), alias_moves.c.from_version.is_not(None)
        ),
    )
    return set(connection.scalars(used))
