"""The rows of webhooks and their deliveries: values, finding, counting and removing them."""

import base64
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, delete, func, select

from prefixes.errors import TooManyWebhooks, WebhookNotFound
from prefixes.registry.tables import tenants, webhook_deliveries, webhooks

MAX_WEBHOOKS: Final = 10
"""Maximum number of webhooks of a tenant."""
_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Webhook:
    """An endpoint without its secret. `events` are the kinds of events that it subscribes to."""

    id: str
    url: str
    events: tuple[str, ...]
    is_enabled: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class IssuedWebhook:
    """A webhook, and its new secret, which cannot be read again."""

    webhook: Webhook
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Delivery:
    """The delivery of one event. `reason` describes the last failed attempt.

    `next_attempt_at` is None once the delivery has been delivered or has failed.
    """

    id: int
    message_id: str
    event: str
    state: str
    num_attempts: int
    created_at: datetime
    attempted_at: datetime | None
    next_attempt_at: datetime | None
    status: int | None
    reason: str | None


DELIVERIES: Final[Select[Any]] = select(
    webhook_deliveries.c.id,
    webhook_deliveries.c.message_id,
    webhook_deliveries.c.event,
    webhook_deliveries.c.state,
    webhook_deliveries.c.num_attempts,
    webhook_deliveries.c.created_at,
    webhook_deliveries.c.attempted_at,
    webhook_deliveries.c.next_attempt_at,
    webhook_deliveries.c.status,
    webhook_deliveries.c.reason,
)


def remove_webhooks(connection: Connection, tenant_id: int) -> None:
    """Remove all webhooks of a tenant, with their deliveries."""
    owned = select(webhooks.c.id).where(webhooks.c.tenant_id == tenant_id)
    connection.execute(delete(webhook_deliveries).where(webhook_deliveries.c.webhook_id.in_(owned)))
    connection.execute(delete(webhooks).where(webhooks.c.tenant_id == tenant_id))


def webhooks_of(tenant: str) -> Select[Any]:
    """Select the webhooks of a tenant."""
    return select(webhooks).join(tenants).where(tenants.c.name == tenant)


def has_id(webhook_id: str) -> ColumnElement[bool]:
    """Select one webhook."""
    return webhooks.c.id == webhook_id


def find_webhook(connection: Connection, tenant: str, webhook_id: str) -> Webhook:
    """Read a webhook of a tenant.

    Raises:
        WebhookNotFound: when the tenant has no such webhook.
    """
    # PostgreSQL rejects NUL: only printable ids are looked up.
    query = webhooks_of(tenant).where(has_id(webhook_id))
    row = connection.execute(query).one_or_none() if webhook_id.isprintable() else None
    if row is None:
        raise no_webhook(webhook_id)
    return webhook_of(row)


def no_webhook(webhook_id: str) -> WebhookNotFound:
    """Make the error for a missing webhook, which is also that for another tenant's webhook."""
    return WebhookNotFound(
        f"There is no webhook with the id {webhook_id[:80]!r}: list the webhooks of the tenant"
    )


def webhook_of(row: Any) -> Webhook:
    """Convert a row."""
    events = tuple(filter(None, row.events.split(",")))
    return Webhook(row.id, row.url, events, row.is_enabled, row.created_at)


def check_number(connection: Connection, tenant: str, tenant_id: int) -> None:
    """Raise TooManyWebhooks if a tenant has the maximum number."""
    query = select(func.count()).where(webhooks.c.tenant_id == tenant_id)
    if connection.execute(query).scalar_one() >= MAX_WEBHOOKS:
        raise TooManyWebhooks(
            f"The tenant {tenant} has {MAX_WEBHOOKS} webhooks, the maximum number: change or "
            "delete one of them"
        )


def new_secret() -> str:
    """Make a secret as the Standard Webhooks specification writes them."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"
