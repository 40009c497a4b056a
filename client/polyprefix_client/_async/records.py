"""The audit log and the usage of tenants: pages of rows, and exports of all."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Literal

from polyprefix_client._async.pages import items_of
from polyprefix_client._async.transport import AsyncTransport
from polyprefix_client.management import AuditEvent, UsageRow
from polyprefix_client.names import segment
from polyprefix_client.requests import get

Format = Literal["csv", "ndjson"]
UsageGroup = Literal["task", "key"]


class AsyncAudit:
    """The audit log: who changed what."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    def events(
        self,
        *,
        tenant: str | None = None,
        key_id: str | None = None,
        action: str | None = None,
        object: str | None = None,  # noqa: A002 - the name on the wire
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> AsyncIterator[AuditEvent]:
        """Yield the events that the filters match, newest first."""
        filters = {"tenant": tenant, "key_id": key_id, "action": action, "object": object}
        call = get("/v1/audit", **filters, since=_time(since), until=_time(until), limit=1000)
        return items_of(self._transport, call, "events", AuditEvent)

    async def export(
        self,
        format: Format = "csv",  # noqa: A002 - the name on the wire
        *,
        tenant: str | None = None,
        key_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> AsyncIterator[str]:
        """Yield the text of all events that the filters match, as it arrives."""
        filters = {"tenant": tenant, "key_id": key_id, "format": format}
        call = get("/v1/audit/export", **filters, since=_time(since), until=_time(until))
        async with self._transport.stream(call) as response:
            async for text in response.aiter_text():
                yield text


class AsyncUsage:
    """The usage of tenants, by hour and task, or by hour and key."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    def rows(
        self,
        tenant: str | None = None,
        *,
        by: UsageGroup = "task",
        task: str | None = None,
        key_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> AsyncIterator[UsageRow]:
        """Yield the usage of a tenant, or of all tenants, the oldest hour first.

        `task` selects rows by task, and `key_id` rows by key.
        """
        filters = {"by": by, "task": task, "key_id": key_id}
        call = get(_path(tenant), **filters, since=_time(since), until=_time(until), limit=1000)
        return items_of(self._transport, call, "usage", UsageRow)

    async def export(
        self,
        tenant: str | None = None,
        format: Format = "csv",  # noqa: A002 - the name on the wire
        *,
        by: UsageGroup = "task",
        task: str | None = None,
        key_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> AsyncIterator[str]:
        """Yield the text of all rows that the filters match, as it arrives."""
        filters = {"by": by, "task": task, "key_id": key_id, "format": format}
        call = get(f"{_path(tenant)}/export", **filters, since=_time(since), until=_time(until))
        async with self._transport.stream(call) as response:
            async for text in response.aiter_text():
                yield text


def _path(tenant: str | None) -> str:
    return "/v1/usage" if tenant is None else f"/v1/tenants/{segment(tenant)}/usage"


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
