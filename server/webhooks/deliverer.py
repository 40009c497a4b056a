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

    A webhook gets one message at a time, so that a slow endpoint delays its own messages alone.
    After a crash during an attempt, the message is sent again: receivers get it at least once.
    """

    def __init__(
        self,
        queue: DeliveryQueue,
        client: WebhookClient,
        metrics: DeliveryMetrics,
        *,
        poll_seconds: float = _POLL_SECONDS,
    ) -> None:
        self._queue = queue
        self._client = client
        self._metrics = metrics
        self._poll_seconds = poll_seconds
        self._attempts: dict[str, asyncio.Task[None]] = {}
        """By webhook."""
        self._wake = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver while the block lasts. Attempts in flight are then made again after a start."""
        task = asyncio.create_task(self._keep_delivering())
        try:
            yield
        finally:
            tasks = [task, *self._attempts.values()]
            for one in tasks:
                one.cancel()
            await asyncio.wait(tasks)
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
        claim = partial(
            self._queue.claim,
            busy=tuple(self._attempts),
            limit=_MAX_AT_ONCE - len(self._attempts),
        )
        for delivery in await run_in_threadpool(claim):
            task = asyncio.create_task(self._attempt(delivery))
            self._attempts[delivery.webhook_id] = task
            task.add_done_callback(partial(self._ended, delivery.webhook_id))
        self._metrics.webhooks_pending(await run_in_threadpool(self._queue.num_pending))

    def _ended(self, webhook_id: str, _task: asyncio.Task[None]) -> None:
        del self._attempts[webhook_id]
        self._wake.set()

    async def _attempt(self, delivery: ClaimedDelivery) -> None:
        try:
            attempt = await self._send(delivery)
            await run_in_threadpool(self._queue.finish, delivery, attempt)
            self._metrics.webhook_attempted(attempt.state)
        except StoreUnavailable as error:  # the delivery is due again when its lease ends
            _log.warning("the result of delivery %d could not be stored: %s", delivery.id, error)
        except Exception:  # noqa: BLE001 - the top of a task: as above
            _log.exception("delivery %d failed unexpectedly", delivery.id)

    async def _send(self, delivery: ClaimedDelivery) -> Attempt:
        try:
            status = await self._client.send(delivery)
        except NotDelivered as error:
            return result_of(None, str(error), delivery.num_attempts)
        return result_of(status, f"the response has the status {status}", delivery.num_attempts)
