"""Webhooks: the endpoints of tenants that receive events, and what happened to their deliveries."""

import secrets
from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import Connection, delete, insert, update

from prefixes.registry.audit import record
from prefixes.registry.database import Database
from prefixes.registry.outbox import emit_test
from prefixes.registry.tables import now, webhook_deliveries, webhooks
from prefixes.registry.tenants import find_tenant_id
from prefixes.registry.values import Actor
from prefixes.registry.webhook_rows import (
    DELIVERIES,
    Delivery,
    IssuedWebhook,
    Webhook,
    check_number,
    find_webhook,
    has_id,
    new_secret,
    webhook_of,
    webhooks_of,
)


class Webhooks:
    """The webhooks of all tenants, and their changes. Safe to use from many threads.

    A webhook of another tenant is reported as missing. Every method raises StoreUnavailable when
    the database cannot be used.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, tenant: str, url: str, events: Collection[str], *, by: Actor) -> IssuedWebhook:
        """Create a webhook. Only the returned value contains its secret.

        Raises:
            TenantNotFound: when the tenant does not exist.
            TooManyWebhooks: when the tenant has the maximum number.
        """
        webhook_id, secret = f"wh_{secrets.token_hex(12)}", new_secret()
        with self._database.write() as connection:
            owner = find_tenant_id(connection, tenant)
            check_number(connection, tenant, owner)
            connection.execute(
                insert(webhooks).values(
                    id=webhook_id,
                    tenant_id=owner,
                    url=url,
                    events=",".join(events),
                    secret=secret,
                    is_enabled=True,
                    created_at=now(),
                )
            )
            shown = {"url": url, "events": list(events)}
            record(connection, by, "webhook.create", webhook_id, tenant=tenant, after=shown)
            return IssuedWebhook(find_webhook(connection, tenant, webhook_id), secret)

    def list(self, tenant: str) -> tuple[Webhook, ...]:
        """List the webhooks of a tenant, the oldest first."""
        query = webhooks_of(tenant).order_by(webhooks.c.created_at, webhooks.c.id)
        with self._database.read() as connection:
            return tuple(webhook_of(row) for row in connection.execute(query))

    def find(self, tenant: str, webhook_id: str) -> Webhook:
        """Read a webhook.

        Raises:
            WebhookNotFound: when the tenant has no such webhook.
        """
        with self._database.read() as connection:
            return find_webhook(connection, tenant, webhook_id)

    def change(
        self,
        tenant: str,
        webhook_id: str,
        *,
        url: str | None = None,
        events: Collection[str] | None = None,
        is_enabled: bool | None = None,
        by: Actor,
    ) -> Webhook:
        """Change a webhook; None leaves a field as it is.

        While it is disabled, no events are queued, and queued ones wait.

        Raises:
            WebhookNotFound: when the tenant has no such webhook.
        """
        joined = None if events is None else ",".join(events)
        given = {"url": url, "events": joined, "is_enabled": is_enabled}
        values = {name: value for name, value in given.items() if value is not None}

        def change(connection: Connection) -> Webhook:
            found = find_webhook(connection, tenant, webhook_id)
            before = {name: getattr(found, name) for name in values}
            if values:
                connection.execute(update(webhooks).where(has_id(webhook_id)).values(**values))
                changes = {"before": before, "after": values}
                record(connection, by, "webhook.change", webhook_id, tenant=tenant, **changes)
            return find_webhook(connection, tenant, webhook_id)

        return self._database.free(change)  # deliveries must end on a full disk, too

    def rotate(
        self, tenant: str, webhook_id: str, *, overlap: timedelta, by: Actor
    ) -> IssuedWebhook:
        """Replace the secret. During the overlap, messages are signed with both secrets.

        Raises:
            WebhookNotFound: when the tenant has no such webhook.
        """
        secret = new_secret()
        with self._database.write() as connection:
            found = find_webhook(connection, tenant, webhook_id)
            connection.execute(
                update(webhooks)
                .where(has_id(webhook_id))
                .values(
                    old_secret=webhooks.c.secret,
                    old_secret_until=now() + overlap,
                    secret=secret,
                )
            )
            record(connection, by, "webhook.rotate", webhook_id, tenant=tenant)
            return IssuedWebhook(found, secret)

    def delete(self, tenant: str, webhook_id: str, *, by: Actor) -> None:
        """Delete a webhook with its deliveries.

        Raises:
            WebhookNotFound: when the tenant has no such webhook.
        """

        def remove(connection: Connection) -> None:
            found = find_webhook(connection, tenant, webhook_id)
            theirs = webhook_deliveries.c.webhook_id == webhook_id
            connection.execute(delete(webhook_deliveries).where(theirs))
            connection.execute(delete(webhooks).where(has_id(webhook_id)))
            before = {"url": found.url, "events": found.events}
            record(connection, by, "webhook.delete", webhook_id, tenant=tenant, before=before)

        self._database.free(remove)

    def test(self, tenant: str, webhook_id: str) -> None:
        """Queue a test event.

        Raises:
            WebhookNotFound: when the tenant has no such webhook.
        """
        with self._database.write_activity() as connection:
            find_webhook(connection, tenant, webhook_id)
            emit_test(connection, webhook_id)

    def deliveries(
        self, tenant: str, webhook_id: str, *, limit: int, before: int | None = None
    ) -> tuple[Delivery, ...]:
        """List deliveries, the newest first; `before` is the last id of the previous page.

        Raises:
            WebhookNotFound: when the tenant has no such webhook.
        """
        query = DELIVERIES.where(webhook_deliveries.c.webhook_id == webhook_id)
        if before is not None:
            query = query.where(webhook_deliveries.c.id < before)
        with self._database.read() as connection:
            find_webhook(connection, tenant, webhook_id)
            rows = connection.execute(query.order_by(webhook_deliveries.c.id.desc()).limit(limit))
            return tuple(Delivery(*row) for row in rows)
