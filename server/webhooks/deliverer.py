"""Deliverer: takes due deliveries from the database, and attempts them."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final, Protocol

from fastapi.concurrency import run_in_threadpool

from prefixes.errors import StoreUnavailable
from prefixes.registry.deliveries import Attempt, ClaimedDelivery, DeliveryQueue
from prefixes.registry.server_leases import LeaseLost
from server.database_retries import retry_database
from server.leases import ServerLease
from server.webhooks.client import NotDelivered, WebhookClient
from server.webhooks.retries import result_of

_MAX_AT_ONCE: Final = 16
_POLL_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class DeliveryMetrics(Protocol):
    """Metrics that the deliverer reports."""

    def webhook_attempted(self, state: str) -> None: ...
    def webhooks_pending(self, number: int) -> None: ...


class Deliverer:
    """Runs in one process of a server, that of the engine. Belongs to its event loop.

    A webhook gets one message at a time from all servers together, so that a slow endpoint delays
    its own messages alone. If a server ends during an attempt, the message is sent again, so that
    receivers get it at least once.
    """

    def __init__(
        self,
        queue: DeliveryQueue,
        client: WebhookClient,
        metrics: DeliveryMetrics,
        *,
        lease: ServerLease,
        poll_seconds: float = _POLL_SECONDS,
    ) -> None:
        self._queue = queue
        self._client = client
        self._metrics = metrics
        self._lease = lease
        self._poll_seconds = poll_seconds
        self._attempts: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver while the block lasts. Attempts in flight are made again by another server."""
        task = asyncio.create_task(self._keep_delivering())
        try:
            yield
        finally:
            tasks = [task, *self._attempts]
            for one in tasks:
                one.cancel()
            await asyncio.wait(tasks)
            await run_in_threadpool(lambda: self._lease.requeue("webhook_deliveries"))
            self._client.close()

    async def _keep_delivering(self) -> None:
        while True:
            try:
                await self._start_attempts()
            except StoreUnavailable as error:
                _log.warning("webhooks wait for the database: %s", error)
            except Exception:  # noqa: BLE001 - the top of a task: the next turn may succeed
                _log.exception("webhooks could not be delivered")
            await self._wait()

    async def _wait(self) -> None:
        """Wait until it is time to poll, or an attempt ends: its webhook may have more messages."""
        self._wake.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._poll_seconds):
                await self._wake.wait()

    async def _start_attempts(self) -> None:
        if len(self._attempts) == _MAX_AT_ONCE:
            return
        limit = _MAX_AT_ONCE - len(self._attempts)
        with self._lease.working():
            claim = partial(self._queue.claim, self._lease.hold, limit=limit)
            for delivery in await run_in_threadpool(claim):
                task = asyncio.create_task(self._attempt(delivery))
                self._attempts.add(task)
                task.add_done_callback(self._ended)
            # The attempts begin meanwhile, and extend the lease themselves.
            self._metrics.webhooks_pending(await run_in_threadpool(self._queue.num_pending))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._attempts.discard(task)
        self._wake.set()

    async def _attempt(self, delivery: ClaimedDelivery) -> None:
        with self._lease.working():
            try:
                attempt = await self._send(delivery)
                finish = partial(self._queue.finish, delivery, attempt)
                await retry_database(finish, asyncio.sleep)
                self._metrics.webhook_attempted(attempt.state)
            except LeaseLost as error:
                _log.warning("another server sends the message again: %s", error)
            except Exception:  # noqa: BLE001 - the top of a task: it is due again
                _log.exception("delivery %d failed unexpectedly", delivery.id)
                await retry_database(partial(self._queue.release, delivery), asyncio.sleep)

    async def _send(self, delivery: ClaimedDelivery) -> Attempt:
        try:
            status = await self._client.send(delivery)
        except NotDelivered as error:
            return result_of(None, str(error), delivery.num_attempts)
        return result_of(status, f"the response has the status {status}", delivery.num_attempts)
