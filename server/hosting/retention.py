"""Removes what is no longer kept, once a minute: old versions and answers, deleted prefixes."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from fastapi.concurrency import run_in_threadpool

from prefixes.registry import Actor, AnswerStore, PrefixRegistry, Retention
from prefixes.registry.tables import now
from server.engine.engine import Engine

_RETENTION: Final = Actor("retention")
_SECONDS_BETWEEN_SWEEPS: Final = 60.0

_log = logging.getLogger(__name__)


class RetentionSweeps:
    """Runs in one process of a server, that of the engine. Belongs to its event loop."""

    def __init__(
        self,
        registry: PrefixRegistry,
        engine: Engine,
        answers: AnswerStore,
        *,
        grace: timedelta,
        max_feedback_days: float,
    ) -> None:
        self._registry = registry
        self._retention = Retention(registry.database)
        self._engine = engine
        self._answers = answers
        self._grace = grace
        self._max_feedback_days = max_feedback_days

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sweep once a minute while the block lasts."""
        task = asyncio.create_task(self._keep_sweeping())
        try:
            yield
        finally:
            task.cancel()

    async def sweep(self) -> None:
        """Apply the retention rules, remove what was deleted long ago, and free memory.

        Raises:
            StoreUnavailable: when the database cannot be used.
        """
        await run_in_threadpool(self._sweep_registry)
        await run_in_threadpool(self._sweep_answers)
        loaded = list(self._engine.loaded_digests())
        gone = await run_in_threadpool(lambda: self._registry.unpublished(loaded))
        self._engine.discard(gone)

    def _sweep_registry(self) -> None:
        num_deleted = self._retention.apply(by=_RETENTION)
        num_removed = self._registry.purge_deleted(before=now() - self._grace, by=_RETENTION)
        if num_deleted or num_removed:
            _log.info(
                "deleted %d versions by retention rules, removed %d versions and prefixes that "
                "were deleted",
                num_deleted,
                num_removed,
            )

    def _sweep_answers(self) -> None:
        num_removed = self._answers.remove_expired(max_days=self._max_feedback_days)
        if num_removed:
            _log.info("removed %d recorded answers whose retention time is over", num_removed)

    async def _keep_sweeping(self) -> None:
        while True:
            try:
                await self.sweep()
            except Exception:  # noqa: BLE001 - the top of a task: the next turn may succeed
                _log.exception("retention rules could not be applied")
            await asyncio.sleep(_SECONDS_BETWEEN_SWEEPS)
