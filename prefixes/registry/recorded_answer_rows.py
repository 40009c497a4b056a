"""The rows of recorded answers: their values, and removing them within a transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, delete, func, select, update

from prefixes.registry.tables import feedback_settings, prefixes, recorded_answers

_IDS_OF_A_STATEMENT: Final = 500
"""SQLite limits the number of parameters of a statement."""


@dataclass(frozen=True, slots=True)
class SealedText:
    """A stored text. `key` names the key that it is encrypted with; None for plain text."""

    data: bytes
    key: str | None


@dataclass(frozen=True, slots=True)
class NewAnswer:
    """An answer to be recorded. `place` is the index of its input in the request.

    `margin` is the distance of the answer to the next best one; None if it has none.
    """

    tenant: str
    task: str
    version: int
    request_id: str
    place: int
    answered_at: datetime
    content: SealedText
    margin: float | None


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A version that gave another answer in the shadow than the recorded one."""

    tenant: str
    request_id: str
    place: int
    other_version: int


@dataclass(frozen=True, slots=True)
class RecordedAnswer:
    """An answer as it is stored, with the right answer if there is one.

    `is_contradicted` is true if the right answer is another one. `is_reviewed` is true if a
    reviewer gave it.
    """

    id: int
    tenant: str
    task: str
    version: int
    request_id: str
    place: int
    answered_at: datetime
    content: SealedText
    margin: float | None
    other_version: int | None
    feedback: SealedText | None
    feedback_at: datetime | None
    is_contradicted: bool
    is_reviewed: bool


def answer_of(row: Any, tenant: str) -> RecordedAnswer:
    """Convert a row of `answers_with_tasks`."""
    has_feedback = row.feedback is not None
    return RecordedAnswer(
        row.id,
        tenant,
        row.task,
        row.version,
        row.request_id,
        row.place,
        row.answered_at,
        SealedText(row.content, row.content_key),
        row.margin,
        row.other_version,
        SealedText(row.feedback, row.feedback_key) if has_feedback else None,
        row.feedback_at,
        row.is_contradicted,
        row.is_reviewed,
    )


def answers_with_tasks() -> Select[Any]:
    """Select recorded answers of existing tasks, each with the name of its task."""
    joined = recorded_answers.join(prefixes, prefixes.c.id == recorded_answers.c.prefix_id)
    query = select(recorded_answers, prefixes.c.task).select_from(joined)
    return query.where(prefixes.c.deleted_at.is_(None))


def remove_answers(connection: Connection, *where: ColumnElement[bool]) -> int:
    """Remove recorded answers with their feedback, and return their number."""
    amounts = connection.execute(
        select(recorded_answers.c.tenant_id, func.count(), func.sum(recorded_answers.c.num_bytes))
        .where(*where)
        .group_by(recorded_answers.c.tenant_id)
    ).all()
    if not amounts:
        return 0
    connection.execute(delete(recorded_answers).where(*where))
    for tenant_id, _, num_bytes in amounts:
        add_stored_bytes(connection, tenant_id, -num_bytes)
    return sum(number for _, number, _ in amounts)


def remove_some(connection: Connection, ids: Sequence[int]) -> int:
    """Remove recorded answers by their ids, and return their number."""
    parts = range(0, len(ids), _IDS_OF_A_STATEMENT)
    return sum(
        remove_answers(connection, recorded_answers.c.id.in_(ids[at : at + _IDS_OF_A_STATEMENT]))
        for at in parts
    )


def remove_feedback_of(connection: Connection, tenant_id: int) -> None:
    """Remove everything about the feedback of a tenant, its settings included."""
    connection.execute(delete(recorded_answers).where(recorded_answers.c.tenant_id == tenant_id))
    connection.execute(delete(feedback_settings).where(feedback_settings.c.tenant_id == tenant_id))


def add_stored_bytes(connection: Connection, tenant_id: int, num_bytes: int) -> None:
    """Count bytes that a tenant stores in addition, or fewer if the number is negative."""
    total = feedback_settings.c.stored_bytes + num_bytes
    here = feedback_settings.c.tenant_id == tenant_id
    connection.execute(update(feedback_settings).where(here).values(stored_bytes=total))


def find_stored_bytes(connection: Connection, tenant_id: int) -> int:
    """Return the bytes of all recorded answers of a tenant, with their feedback."""
    query = select(feedback_settings.c.stored_bytes)
    found = connection.scalar(query.where(feedback_settings.c.tenant_id == tenant_id))
    return found or 0
