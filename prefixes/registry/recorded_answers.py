"""AnswerStore: the recorded answers of tenants, and feedback on them."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, select, update

from prefixes.errors import AnswerNotFound, QuotaExceeded
from prefixes.limits import NOT_SET, LimitSet
from prefixes.registry.changes import find_prefix
from prefixes.registry.database import Database
from prefixes.registry.recorded_answer_rows import (
    Disagreement,
    NewAnswer,
    RecordedAnswer,
    SealedText,
    add_stored_bytes,
    answer_of,
    answers_with_tasks,
    remove_some,
)
from prefixes.registry.recorded_answer_writes import AnswerQuota, add_answers, make_room
from prefixes.registry.tables import feedback_settings, now, recorded_answers, tenants

_MAX_EXPIRED: Final = 5000
"""Maximum number of answers of a tenant that one call removes, so that others need not wait."""
_RETENTIONS: Final = select(feedback_settings.c.tenant_id, feedback_settings.c.retention_days)


class AnswerStore:
    """Safe to use from many threads. Texts in it are sealed, so that it needs no key.

    `max_bytes` limits what one tenant stores. Every method raises StoreUnavailable when the
    database cannot be used.
    """

    def __init__(
        self, database: Database, *, max_bytes: int, default_limits: LimitSet = NOT_SET
    ) -> None:
        self._database = database
        self._quota = AnswerQuota(max_bytes, default_limits)

    def add(self, answers: Sequence[NewAnswer]) -> int:
        """Store answers, and return how many were stored.

        Left out are answers of tenants that do not record any more, of versions that do not exist
        any more, and those that were given before a deletion of the task's answers. If a tenant
        has no room left, its oldest answers without feedback are removed.
        """
        ordered = sorted(answers, key=lambda one: one.tenant)
        with self._database.write_activity() as connection:
            return sum(
                add_answers(connection, tenant, list(theirs), self._quota)
                for tenant, theirs in groupby(ordered, key=lambda one: one.tenant)
            )

    def note_disagreements(self, disagreements: Sequence[Disagreement]) -> None:
        """Note versions that gave other answers. Unknown answers are ignored."""
        with self._database.write_activity() as connection:
            for one in disagreements:
                _note_disagreement(connection, one)

    def find(self, tenant: str, request_id: str, place: int) -> RecordedAnswer:
        """Find an answer; the last one if a client used the id of a request twice.

        Raises:
            AnswerNotFound: when the tenant has no such answer.
        """
        # PostgreSQL rejects NUL: only printable ids are looked up.
        is_id = request_id.isprintable() and 0 <= place < 2**31
        query = (
            answers_with_tasks()
            .join(tenants, tenants.c.id == recorded_answers.c.tenant_id)
            .where(
                tenants.c.name == tenant,
                recorded_answers.c.request_id == request_id,
                recorded_answers.c.place == place,
            )
            .order_by(recorded_answers.c.id.desc())
            .limit(1)
        )
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none() if is_id else None
        if row is None:
            raise no_answer(request_id, place)
        return answer_of(row, tenant)

    def give(
        self,
        answer: RecordedAnswer,
        feedback: SealedText,
        *,
        is_contradicted: bool,
        is_review: bool,
    ) -> None:
        """Store the right answer. It replaces an earlier one.

        Raises:
            AnswerNotFound: when the answer was removed meanwhile.
            QuotaExceeded: when the tenant has no room for it.
        """
        here = recorded_answers.c.id == answer.id
        with self._database.write_activity() as connection:
            query = select(recorded_answers.c.tenant_id, recorded_answers.c.feedback)
            row = connection.execute(query.where(here)).one_or_none()
            if row is None:
                raise no_answer(answer.request_id, answer.place)
            added = len(feedback.data) - len(row.feedback or b"")
            room = make_room(connection, row.tenant_id, added, self._quota, spared=answer.id)
            if added > room:
                raise QuotaExceeded(
                    f"The tenant {answer.tenant} has no room for feedback: delete feedback that is "
                    "no longer needed, or ask the operator for more",
                    limit="max_stored_bytes",
                )
            values: dict[str, Any] = {
                "feedback": feedback.data,
                "feedback_key": feedback.key,
                "feedback_at": now(),
                "is_contradicted": is_contradicted,
                "num_bytes": recorded_answers.c.num_bytes + added,
            }
            if is_review:
                values["is_reviewed"] = True
            connection.execute(update(recorded_answers).where(here).values(**values))
            add_stored_bytes(connection, row.tenant_id, added)

    def retract(self, answer: RecordedAnswer) -> None:
        """Remove the right answer and its review, if there is one. The recorded answer stays.

        Raises:
            AnswerNotFound: when the answer was removed meanwhile.
        """
        here = recorded_answers.c.id == answer.id
        with self._database.write_activity() as connection:
            query = select(recorded_answers.c.tenant_id, recorded_answers.c.feedback)
            row = connection.execute(query.where(here)).one_or_none()
            if row is None:
                raise no_answer(answer.request_id, answer.place)
            removed = len(row.feedback or b"")
            values = {
                "feedback": None,
                "feedback_key": None,
                "feedback_at": None,
                "is_contradicted": False,
                "is_reviewed": False,
                "num_bytes": recorded_answers.c.num_bytes - removed,
            }
            connection.execute(update(recorded_answers).where(here).values(**values))
            add_stored_bytes(connection, row.tenant_id, -removed)

    def unlabeled(self, tenant: str, task: str, *, limit: int) -> list[RecordedAnswer]:
        """List what a person should look at next, at most `limit` answers of each kind.

        These are answers that feedback contradicts and no reviewer has seen, then those without
        feedback: where another version disagrees, and the smallest margins.

        Raises:
            PrefixNotFound: when the task does not exist.
        """
        table = recorded_answers.c
        is_open = table.feedback_at.is_(None)
        newest, nearest = table.id.desc(), (table.margin, table.id)
        with self._database.read() as connection:
            here = table.prefix_id == find_prefix(connection, tenant, task).id
            kinds: tuple[tuple[ColumnElement[bool], Sequence[ColumnElement[Any]]], ...] = (
                (and_(here, table.is_contradicted, ~table.is_reviewed), (newest,)),
                (and_(here, is_open, table.other_version.is_not(None)), (newest,)),
                (and_(here, is_open, table.margin.is_not(None)), nearest),
            )
            found: dict[int, RecordedAnswer] = {}
            for condition, order in kinds:
                query = answers_with_tasks().where(condition).order_by(*order).limit(limit)
                for row in connection.execute(query):
                    found.setdefault(row.id, answer_of(row, tenant))
        return list(found.values())

    def labeled(self, tenant: str, task: str, *, limit: int | None = None) -> list[RecordedAnswer]:
        """List the answers with the newest feedback, all without a limit; oldest feedback first.

        Raises:
            PrefixNotFound: when the task does not exist.
        """
        table = recorded_answers.c
        with self._database.read() as connection:
            here = table.prefix_id == find_prefix(connection, tenant, task).id
            query = answers_with_tasks().where(here, table.feedback_at.is_not(None))
            newest = query.order_by(table.feedback_at.desc(), table.id.desc()).limit(limit)
            return [answer_of(row, tenant) for row in connection.execute(newest)][::-1]

    def remove_expired(self, *, max_days: float) -> int:
        """Remove answers that are older than their tenant's retention time, or than `max_days`."""
        with self._database.read() as connection:
            expired = [
                found
                for tenant_id, days in connection.execute(_RETENTIONS)
                for found in _expired(connection, tenant_id, min(days, max_days))
            ]
        if not expired:
            return 0  # most calls end here, and take no lock
        with self._database.write_activity() as connection:
            return remove_some(connection, expired)


def _note_disagreement(connection: Connection, one: Disagreement) -> None:
    table = recorded_answers.c
    owner = select(tenants.c.id).where(tenants.c.name == one.tenant).scalar_subquery()
    here = (table.tenant_id == owner, table.request_id == one.request_id, table.place == one.place)
    values = {"other_version": one.other_version}
    connection.execute(update(recorded_answers).where(*here).values(**values))


def _expired(connection: Connection, tenant_id: int, days: float) -> list[int]:
    table = recorded_answers.c
    oldest = now() - timedelta(days=days)
    query = select(table.id).where(table.tenant_id == tenant_id, table.answered_at < oldest)
    return list(connection.scalars(query.order_by(table.id).limit(_MAX_EXPIRED)))


def no_answer(request_id: str, place: int) -> AnswerNotFound:
    """Make the error for a missing answer, which is also that for another tenant's."""
    return AnswerNotFound(
        f"There is no recorded answer for input {place} of the request {request_id[:64]!r}: send "
        "the header X-Request-Id of its response. Answers are recorded only after the tenant has "
        "enabled it, for its own tasks, and are removed after its retention time"
    )
