"""Resealing: recorded answers are encrypted again, with another key."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, and_, or_, select, update

from prefixes.registry.database import Database
from prefixes.registry.recorded_answer_rows import SealedText, add_stored_bytes
from prefixes.registry.tables import recorded_answers

_ROWS_AT_ONCE: Final = 200
"""Encrypted within one transaction, in which no other process can write to SQLite."""

Reseal = Callable[[SealedText], SealedText | None]
"""Seals a stored text with the key in use; returns None if it cannot be read."""


class ResealedRows(NamedTuple):
    """The answers of one transaction: how many were sealed again, and how many stay unreadable."""

    num_resealed: int
    num_unreadable: int


def reseal_answers(database: Database, key: str, reseal: Reseal) -> Iterator[ResealedRows]:
    """Seal all answers and feedback again that are not sealed with a key, some at a time.

    Answers that are recorded meanwhile by a process with the same key need no resealing. After an
    interruption, another call continues.

    Args:
        database: the database of the answers.
        key: the name of the key that `reseal` uses.
        reseal: seals a text again.

    Raises:
        StoreUnavailable: when the database cannot be used.
    """
    last: int | None = 0
    while last is not None:
        with database.write_activity() as connection:
            rows = connection.execute(_others(key, after=last)).all()
            results = [_reseal_row(connection, row, reseal) for row in rows]
            grown: Counter[int] = Counter()
            for row, result in zip(rows, results, strict=True):
                grown[row.tenant_id] += result or 0
            for tenant_id, num_bytes in grown.items():
                add_stored_bytes(connection, tenant_id, num_bytes)
        num_unreadable = results.count(None)
        last = rows[-1].id if rows else None
        yield ResealedRows(len(results) - num_unreadable, num_unreadable)


def _others(key: str, *, after: int) -> Any:
    """Select answers of which a text is not sealed with a key."""
    table = recorded_answers.c
    is_other = or_(
        table.content_key.is_distinct_from(key),
        and_(table.feedback.is_not(None), table.feedback_key.is_distinct_from(key)),
    )
    query = select(recorded_answers).where(table.id > after, is_other)
    return query.order_by(table.id).limit(_ROWS_AT_ONCE).with_for_update()


def _reseal_row(connection: Connection, row: Any, reseal: Reseal) -> int | None:
    """Seal the texts of a row again, and return by how many bytes it grew; None if unreadable."""
    content = reseal(SealedText(row.content, row.content_key))
    feedback = None
    if row.feedback is not None:
        feedback = reseal(SealedText(row.feedback, row.feedback_key))
        if feedback is None:
            return None
    if content is None:
        return None
    grown = len(content.data) - len(row.content)
    values: dict[str, Any] = {"content": content.data, "content_key": content.key}
    if feedback is not None:
        grown += len(feedback.data) - len(row.feedback)
        values |= {"feedback": feedback.data, "feedback_key": feedback.key}
    values["num_bytes"] = row.num_bytes + grown
    here = recorded_answers.c.id == row.id
    connection.execute(update(recorded_answers).where(here).values(**values))
    return grown
