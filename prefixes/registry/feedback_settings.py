"""The rules by which tenants record answers, and the deletion of recorded answers."""

from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, func, insert, select, update

from prefixes.registry.audit import record
from prefixes.registry.changes import find_prefix
from prefixes.registry.database import Database
from prefixes.registry.recorded_answer_rows import remove_answers
from prefixes.registry.tables import feedback_settings, now, prefixes, recorded_answers
from prefixes.registry.tenants import find_tenant_id
from prefixes.registry.values import Actor


@dataclass(frozen=True, slots=True)
class FeedbackRule:
    """Whether a tenant records answers, which share of its requests, and for how many days."""

    is_enabled: bool = False
    retention_days: float = 30.0
    sample_percent: float = 100.0


NOT_RECORDED: Final = FeedbackRule()
"""The rule of a tenant that never set one."""


@dataclass(frozen=True, slots=True)
class FeedbackState:
    """The rule of a tenant, and what it stores. `num_bytes` includes the feedback."""

    rule: FeedbackRule
    num_answers: int
    num_with_feedback: int
    num_bytes: int


class FeedbackSettings:
    """The rules of all tenants. Safe to use from many threads.

    Every method raises StoreUnavailable when the database cannot be used, and TenantNotFound when
    the tenant does not exist.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, tenant: str) -> FeedbackState:
        """Read the rule of a tenant, and count what it stores."""
        with self._database.read() as connection:
            return _state(connection, find_tenant_id(connection, tenant))

    def set(self, tenant: str, rule: FeedbackRule, *, by: Actor) -> FeedbackState:
        """Set the rule. It applies to the next request, the retention to stored answers, too."""

        def change(connection: Connection) -> FeedbackState:
            owner = find_tenant_id(connection, tenant)
            before = _rule_of(_find(connection, owner))
            if before != rule:
                _write(connection, owner, rule)
                shown = {"before": asdict(before), "after": asdict(rule)}
                record(connection, by, "feedback.settings", tenant, tenant=tenant, **shown)
            return _state(connection, owner)

        return self._database.free(change)  # recording must end on a full disk, too

    def delete(self, tenant: str, task: str | None = None, *, by: Actor) -> int:
        """Delete all recorded answers of a tenant or a task; return the number of stored ones.

        Answers that were given before, but are not stored yet, will not be.

        Raises:
            PrefixNotFound: when the task does not exist.
        """

        def remove(connection: Connection) -> int:
            owner = find_tenant_id(connection, tenant)
            connection.execute(_of(owner).with_for_update())  # `add_answers` waits
            where = recorded_answers.c.tenant_id == owner
            deleted = prefixes.c.tenant_id == owner
            if task is not None:
                row = find_prefix(connection, tenant, task)
                where, deleted = recorded_answers.c.prefix_id == row.id, prefixes.c.id == row.id
            moment = {"answers_deleted_at": now()}
            connection.execute(update(prefixes).where(deleted).values(**moment))
            number = remove_answers(connection, where)
            name = tenant if task is None else f"{tenant}/{task}"
            before = {"answers": number}
            record(connection, by, "feedback.delete", name, tenant=tenant, before=before)
            return number

        return self._database.free(remove)


def _find(connection: Connection, tenant_id: int) -> Row[Any] | None:
    return connection.execute(_of(tenant_id)).one_or_none()


def _of(tenant_id: int) -> Select[Any]:
    return select(feedback_settings).where(feedback_settings.c.tenant_id == tenant_id)


def _rule_of(row: Row[Any] | None) -> FeedbackRule:
    if row is None:
        return NOT_RECORDED
    return FeedbackRule(row.is_enabled, row.retention_days, row.sample_percent)


def _state(connection: Connection, tenant_id: int) -> FeedbackState:
    row = _find(connection, tenant_id)
    numbers = select(func.count(), func.count(recorded_answers.c.feedback_at))
    theirs = recorded_answers.c.tenant_id == tenant_id
    num_answers, num_with_feedback = connection.execute(numbers.where(theirs)).one()
    num_bytes = 0 if row is None else row.stored_bytes
    return FeedbackState(_rule_of(row), num_answers, num_with_feedback, num_bytes)


def _write(connection: Connection, tenant_id: int, rule: FeedbackRule) -> None:
    here = feedback_settings.c.tenant_id == tenant_id
    changed = connection.execute(update(feedback_settings).where(here).values(**asdict(rule)))
    if changed.rowcount == 0:
        new = {"tenant_id": tenant_id, "stored_bytes": 0, **asdict(rule)}
        connection.execute(insert(feedback_settings).values(**new))
