"""Events for webhooks that routes report, because no change of the database belongs to them."""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any, Final

from fastapi.concurrency import run_in_threadpool

from prefixes.errors import PrefixRejected, QuotaExceeded, StoreUnavailable
from prefixes.registry.outbox import Outbox, WebhookEvent
from server.api.auth import Caller

_MAX_FINDINGS: Final = 20
_SECONDS_BETWEEN_EVENTS: Final = 3600.0
_MAX_LIMITS: Final = 10_000
"""Number of tenants' limits from which on those of more than an hour ago are forgotten."""

_log = logging.getLogger(__name__)


class ErrorEvents:
    """Emits events about rejected requests. Belongs to the event loop.

    A failure is only logged: the client learns of the rejection nevertheless.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._reached: dict[tuple[str, str], float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def upload_rejected(
        self, tenant: str, task: str, digest: str, error: PrefixRejected
    ) -> None:
        """Report that an uploaded file was rejected."""
        findings = [asdict(finding) for finding in error.findings[:_MAX_FINDINGS]]
        data = {"tenant": tenant, "task": task, "digest": digest, "findings": findings}
        await self._emit(tenant, "upload.rejected", data)

    def quota_reached(
        self, limit: str, error: Exception, caller: Caller, path: Mapping[str, Any]
    ) -> None:
        """Report that a limit of a tenant rejected a request: once an hour, in the background."""
        tenant = caller.tenant
        if isinstance(error, QuotaExceeded) and caller.is_operator:
            tenant = path.get("tenant")  # an operator uploads for the tenant of the path
        if tenant is None or not self._is_news(tenant, limit):
            return
        data = {"tenant": tenant, "limit": limit, "detail": str(error)}
        task = asyncio.create_task(self._emit(tenant, "quota.reached", data))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _is_news(self, tenant: str, limit: str) -> bool:
        now = time.monotonic()
        oldest = now - _SECONDS_BETWEEN_EVENTS
        if self._reached.get((tenant, limit), float("-inf")) > oldest:
            return False
        if len(self._reached) >= _MAX_LIMITS:
            self._reached = {one: at for one, at in self._reached.items() if at > oldest}
        self._reached[tenant, limit] = now
        return True

    async def _emit(self, tenant: str, event: WebhookEvent, data: Mapping[str, Any]) -> None:
        try:
            await run_in_threadpool(partial(self._outbox.emit, tenant, event, data))
        except StoreUnavailable as failure:
            _log.warning("could not queue the event %s: %s", event, failure)
