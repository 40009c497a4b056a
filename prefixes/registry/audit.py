"""The audit log: one event for each change, written in the transaction of the change."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Connection, ScalarSelect, func, insert, select

from prefixes.registry.acting_keys import check_acting_key
from prefixes.registry.database import Database
from prefixes.registry.tables import audit_events, now
from prefixes.registry.values import Actor, AuditEvent

Action = Literal[
    "tenant.create",
    "tenant.update",
    "tenant.suspend",
    "tenant.resume",
    "tenant.delete",
    "tenant.purge",
    "tenant.limits",
    "key.issue",
    "key.rotate",
    "key.revoke",
    "key.limits",
    "version.publish",
    "version.delete",
    "version.restore",
    "version.purge",
    "prefix.delete",
    "prefix.restore",
    "prefix.purge",
    "prefix.retention",
    "alias.move",
    "alias.rollback",
    "canary.set",
    "canary.cancel",
    "canary.rollback",
    "rules.set",
    "rules.delete",
    "prefix.share",
    "training.start",
    "training.cancel",
    "training.delete",
    "batch.create",
    "batch.cancel",
    "batch.delete",
    "webhook.create",
    "webhook.change",
    "webhook.rotate",
    "webhook.delete",
    "feedback.settings",
    "feedback.delete",
]

_PAGE: Final = 500

_COLUMNS: Final[tuple[ColumnElement[Any], ...]] = (
    audit_events.c.id,
    audit_events.c.at,
    audit_events.c.actor,
    audit_events.c.key_id,
    audit_events.c.request_id,
    audit_events.c.tenant,
    audit_events.c.action,
    audit_events.c.object,
    audit_events.c.before,
    audit_events.c.after,
)


def record(
    connection: Connection,
    by: Actor,
    action: Action,
    changed: object,
    *,
    tenant: str | None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Add an event to the transaction of its change.

    Args:
        connection: the transaction.
        by: who makes the change.
        action: the kind of change.
        changed: the object, by its name.
        tenant: the owner of the object; None for operators' keys.
        before: the changed fields as they were; None for a new object.
        after: the changed fields as they are now; None for a removed object.

    Raises:
        ActingKeyInvalid: when the key of the change is not valid any more. It may change itself.
    """
    if str(changed) != by.key_id:
        check_acting_key(connection, by)
    connection.execute(
        insert(audit_events).values(
            at=now(),
            actor=by.name,
            key_id=by.key_id,
            request_id=by.request_id,
            tenant=tenant,
            action=action,
            object=str(changed),
            before=_json(before),
            after=_json(after),
        )
    )


def _json(fields: Mapping[str, Any] | None) -> str | None:
    return None if fields is None else json.dumps(fields, default=_as_text)


def _as_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Conditions on events; None accepts all. `since` is inclusive, `until` is not.

    `is_current` excludes events of an earlier tenant of the same name, which was removed.
    """

    tenant: str | None = None
    key_id: str | None = None
    action: str | None = None
    object: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    is_current: bool = False

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the conditions as SQL."""
        found: list[ColumnElement[bool]] = [
            audit_events.c[name] == value
            for name in ("tenant", "key_id", "action", "object")
            if (value := getattr(self, name)) is not None
        ]
        if self.since is not None:
            found.append(audit_events.c.at >= self.since)
        if self.until is not None:
            found.append(audit_events.c.at < self.until)
        if self.is_current:
            found.append(audit_events.c.id > _last_removal(self.tenant))
        return found


def _last_removal(tenant: str | None) -> ScalarSelect[int]:
    """Select the id of the event that removed an earlier tenant of this name; 0 for none."""
    earlier = audit_events.alias()
    return (
        select(func.coalesce(func.max(earlier.c.id), 0))
        .where(earlier.c.tenant == tenant, earlier.c.action == "tenant.purge")
        .scalar_subquery()
    )


class AuditLog:
    """Read access to the events. There is no way to change or remove one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(
        self, where: AuditFilter, *, limit: int, before: int | None = None
    ) -> tuple[AuditEvent, ...]:
        """List events, newest first; `before` is the last id of the previous page.

        Raises:
            StoreUnavailable: when the database cannot be read.
        """
        query = select(*_COLUMNS).where(*where.conditions())
        if before is not None:
            query = query.where(audit_events.c.id < before)
        query = query.order_by(audit_events.c.id.desc()).limit(limit)
        with self._database.read() as connection:
            return tuple(AuditEvent(*row) for row in connection.execute(query))

    def pages(self, where: AuditFilter) -> Iterator[tuple[AuditEvent, ...]]:
        """Give all events, newest first, in pages of a few hundred.

        Raises:
            StoreUnavailable: when the database cannot be read.
        """
        before = None
        while page := self.list(where, limit=_PAGE, before=before):
            yield page
            before = page[-1].id
