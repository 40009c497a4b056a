"""Storing answers within a transaction, as far as their tenant has room."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, insert, select

from prefixes.limits import LimitSet
from prefixes.registry.quotas import find_answer_room
from prefixes.registry.recorded_answer_rows import NewAnswer, add_stored_bytes, remove_some
from prefixes.registry.tables import (
    feedback_settings,
    prefixes,
    recorded_answers,
    tenants,
    versions,
)

BYTES_OF_A_ROW: Final = 200
"""Estimate for the columns and indexes of a row, without its texts."""
_MAX_EVICTED: Final = 1000
"""Maximum number of old answers that one write removes."""


@dataclass(frozen=True, slots=True)
class AnswerQuota:
    """One tenant may store `max_bytes`, and no more than its limit on all stored bytes."""

    max_bytes: int
    default_limits: LimitSet


class _Task(NamedTuple):
    prefix_id: int
    deleted_at: datetime | None


def add_answers(
    connection: Connection, tenant: str, answers: Sequence[NewAnswer], quota: AnswerQuota
) -> int:
    """Store the answers of one tenant, in order, for as long as there is room."""
    owner = _recording_tenant(connection, tenant)
    if owner is None:
        return 0
    tasks = _tasks(connection, owner, {one.task for one in answers})
    rows = [
        _values(one, owner, task.prefix_id)
        for one in answers
        if (task := tasks.get((one.task, one.version))) is not None
        and (task.deleted_at is None or one.answered_at > task.deleted_at)
    ]
    room = make_room(connection, owner, sum(row["num_bytes"] for row in rows), quota)
    fitting, num_bytes = _fitting(rows, room)
    if fitting:
        connection.execute(insert(recorded_answers), fitting)
        add_stored_bytes(connection, owner, num_bytes)
    return len(fitting)


def make_room(
    connection: Connection,
    tenant_id: int,
    needed: int,
    quota: AnswerQuota,
    *,
    spared: int | None = None,
) -> int:
    """Return how many bytes a tenant may still store.

    If that is less than needed, its oldest answers without feedback are removed, but not the one
    with the id `spared`.
    """
    room = find_answer_room(connection, tenant_id, quota.max_bytes, quota.default_limits)
    if room >= needed:
        return room
    table = recorded_answers.c
    query = (
        select(table.id, table.num_bytes)
        .where(table.tenant_id == tenant_id, table.feedback_at.is_(None), table.id != spared)
        .order_by(table.id)
        .limit(_MAX_EVICTED)
    )
    evicted = []
    for answer_id, num_bytes in connection.execute(query):
        if room >= needed:
            break
        evicted.append(answer_id)
        room += num_bytes
    remove_some(connection, evicted)
    return room


def _recording_tenant(connection: Connection, tenant: str) -> int | None:
    """Return the primary key of a tenant that records answers; None for others.

    The lock makes a deletion wait where a database has several writers. SQLite has only one, and
    ignores it.
    """
    query = (
        select(tenants.c.id)
        .join(feedback_settings, feedback_settings.c.tenant_id == tenants.c.id)
        .where(
            tenants.c.name == tenant,
            tenants.c.deleted_at.is_(None),
            feedback_settings.c.is_enabled,
        )
        .with_for_update(of=feedback_settings)
    )
    found: int | None = connection.scalar(query)
    return found


def _tasks(
    connection: Connection, tenant_id: int, names: Collection[str]
) -> Mapping[tuple[str, int], _Task]:
    """Find existing versions by task and number."""
    query = (
        select(prefixes.c.task, versions.c.number, prefixes.c.id, prefixes.c.answers_deleted_at)
        .join(versions, versions.c.prefix_id == prefixes.c.id)
        .where(prefixes.c.tenant_id == tenant_id, prefixes.c.task.in_(names))
    )
    return {
        (task, number): _Task(prefix_id, deleted_at)
        for task, number, prefix_id, deleted_at in connection.execute(query)
    }


def _values(one: NewAnswer, tenant_id: int, prefix_id: int) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "prefix_id": prefix_id,
        "version": one.version,
        "request_id": one.request_id,
        "place": one.place,
        "answered_at": one.answered_at,
        "content": one.content.data,
        "content_key": one.content.key,
        "num_bytes": BYTES_OF_A_ROW + len(one.content.data),
        "margin": one.margin,
    }


def _fitting(rows: Sequence[dict[str, Any]], room: int) -> tuple[list[dict[str, Any]], int]:
    """Select rows, in order, that fit; return them with their bytes."""
    fitting, total = [], 0
    for row in rows:
        if total + row["num_bytes"] <= room:
            fitting.append(row)
            total += row["num_bytes"]
    return fitting, total
