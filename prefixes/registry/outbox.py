"""The outbox: events for webhooks, written in the transaction of what they report.

An event that is committed here is delivered, also after a restart. `server/webhooks` delivers it.
"""

import json
import secrets
from collections.abc import Mapping
from typing import Any, Final, Literal, get_args

from sqlalchemy import Connection, ScalarSelect, Select, func, insert, select

from prefixes.registry.database import Database
from prefixes.registry.tables import now, tenants, webhook_deliveries, webhooks

WebhookEvent = Literal[
    "training.finished",
    "batch.finished",
    "batch.failed",
    "alias.moved",
    "upload.rejected",
    "canary.rolled_back",
    "quota.reached",
    "task.drifted",
]
TEST_EVENT: Final = "webhook.test"
"""Delivered on request, to any webhook."""

WEBHOOK_EVENTS: Final[tuple[WebhookEvent, ...]] = get_args(WebhookEvent)

MAX_PENDING: Final = 1000
"""Maximum number of events that one webhook waits for. Further events are dropped."""
_MAX_BODY_BYTES: Final = 64 * 1024


def emit(connection: Connection, tenant: str, event: WebhookEvent, data: Mapping[str, Any]) -> None:
    """Queue an event for each webhook of a tenant that subscribes to it.

    Args:
        connection: the transaction of what happened. Without a commit, nothing is delivered.
        tenant: the owner of what the event is about.
        event: the kind of event.
        data: fields of JSON that describe it; at most 64 KiB, or they are left out.
    """
    found = connection.execute(_subscribers(tenant)).all()
    subscribed = [row.id for row in found if event in row.events.split(",")]
    if subscribed:
        _queue(connection, subscribed, event, data)


def emit_test(connection: Connection, webhook_id: str) -> None:
    """Queue a test event for one webhook, whatever it subscribes to."""
    _queue(connection, [webhook_id], TEST_EVENT, {"webhook": webhook_id})


class Outbox:
    """Queues events that no other change of the database belongs to. Safe to use on any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def emit(self, tenant: str, event: WebhookEvent, data: Mapping[str, Any]) -> None:
        """Queue an event. See the function `emit`.

        Raises:
            StoreUnavailable: when the database cannot be used.
        """
        with self._database.read() as connection:
            if connection.execute(_subscribers(tenant).limit(1)).one_or_none() is None:
                return  # most calls end here, and take no lock
        with self._database.write_activity() as connection:
            emit(connection, tenant, event, data)


def _subscribers(tenant: str) -> Select[Any]:
    is_theirs = (tenants.c.name == tenant, webhooks.c.is_enabled)
    return select(webhooks.c.id, webhooks.c.events).join(tenants).where(*is_theirs)


def _queue(
    connection: Connection, webhook_ids: list[str], event: str, data: Mapping[str, Any]
) -> None:
    moment = now()
    message = {
        "message_id": f"msg_{secrets.token_hex(12)}",
        "event": event,
        "body": _body(event, moment.isoformat(timespec="milliseconds"), data),
        "state": "pending",
        "num_attempts": 0,
        "created_at": moment,
        "next_attempt_at": moment,
    }
    rows = [
        message | {"webhook_id": webhook_id}
        for webhook_id in webhook_ids
        if connection.execute(select(_num_pending(webhook_id))).scalar_one() < MAX_PENDING
    ]
    if rows:
        connection.execute(insert(webhook_deliveries), rows)


def _num_pending(webhook_id: str) -> ScalarSelect[int]:
    here = webhook_deliveries.c
    is_pending = (here.webhook_id == webhook_id, here.state == "pending")
    return select(func.count()).where(*is_pending).scalar_subquery()


def _body(event: str, timestamp: str, data: Mapping[str, Any]) -> str:
    """Write the body as the Standard Webhooks specification recommends."""
    message = {"type": event, "timestamp": timestamp, "data": data}
    body = json.dumps(message, default=str, separators=(",", ":"))
    if len(body.encode()) > _MAX_BODY_BYTES:
        return json.dumps(message | {"data": {"is_truncated": True}})
    return body
