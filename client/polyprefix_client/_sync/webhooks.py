# Generated from _async/webhooks.py by generate_sync.py. Change that file instead.
"""Webhooks of tenants."""

from collections.abc import Iterator, Sequence

from polyprefix_client._sync.pages import items_of
from polyprefix_client._sync.transport import Transport
from polyprefix_client.conversion import from_json
from polyprefix_client.names import segment
from polyprefix_client.requests import Call, body_of, get, value_of
from polyprefix_client.webhooks import Delivery, NewWebhook, Webhook


class Webhooks:
    """The webhooks of tenants. The calls need the role `admin`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, tenant: str, url: str, *, events: Sequence[str]) -> NewWebhook:
        """Create a webhook. Only its response contains the secret."""
        call = Call("POST", _path(tenant), json={"url": url, "events": list(events)})
        return value_of(self._transport.send(call), NewWebhook)

    def list(self, tenant: str) -> list[Webhook]:
        """List the webhooks of a tenant, oldest first."""
        body = body_of(self._transport.send(get(_path(tenant))))
        return [from_json(Webhook, one) for one in body["webhooks"]]

    def show(self, tenant: str, webhook_id: str) -> Webhook:
        """Show a webhook without its secret."""
        return value_of(self._transport.send(get(_path(tenant, webhook_id))), Webhook)

    def change(
        self,
        tenant: str,
        webhook_id: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        is_enabled: bool | None = None,
    ) -> Webhook:
        """Change a webhook. Values that are None stay as they are."""
        changes = {
            "url": url,
            "events": None if events is None else list(events),
            "is_enabled": is_enabled,
        }
        call = Call("PATCH", _path(tenant, webhook_id), json=changes, is_idempotent=True)
        return value_of(self._transport.send(call), Webhook)

    def rotate(self, tenant: str, webhook_id: str, *, overlap_seconds: int = 86_400) -> NewWebhook:
        """Replace the secret. During the overlap, messages have signatures of both secrets."""
        body = {"overlap_seconds": overlap_seconds}
        call = Call("POST", f"{_path(tenant, webhook_id)}/rotate", json=body)
        return value_of(self._transport.send(call), NewWebhook)

    def test(self, tenant: str, webhook_id: str) -> None:
        """Queue an event `webhook.test`. `deliveries` shows the result."""
        self._transport.send(Call("POST", f"{_path(tenant, webhook_id)}/test"))

    def deliveries(self, tenant: str, webhook_id: str) -> Iterator[Delivery]:
        """Yield the deliveries of a webhook, newest first."""
        call = get(f"{_path(tenant, webhook_id)}/deliveries")
        return items_of(self._transport, call, "deliveries", Delivery)

    def delete(self, tenant: str, webhook_id: str) -> None:
        """Delete a webhook and its pending deliveries."""
        self._transport.send(Call("DELETE", _path(tenant, webhook_id)))


def _path(tenant: str, webhook_id: str | None = None) -> str:
    webhooks = f"/v1/tenants/{segment(tenant)}/webhooks"
    return webhooks if webhook_id is None else f"{webhooks}/{segment(webhook_id)}"
