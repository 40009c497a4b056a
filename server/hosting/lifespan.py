"""Lifespan: what happens before the first request and after the last."""

import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from fastapi.concurrency import run_in_threadpool

from prefixes.errors import StoreUnavailable
from prefixes.registry import PrefixRegistry, UsageLog
from prefixes.registry.canary_counts import StoredCounts
from server.cache_refresh import refreshing
from server.engine.canaries import writer as canary_writer
from server.engine.engine import Engine
from server.engine.recording.store import answer_store
from server.engine.recording.writer import recording
from server.feedback.sealing import Sealer
from server.hosting.seeding import seed_examples
from server.publishing import Publisher
from server.settings import Settings
from server.usage import writer as usage_writer

_log = logging.getLogger(__name__)


@asynccontextmanager
async def lifespan(
    engine: Engine,
    registry: PrefixRegistry,
    settings: Settings,
    *background: AbstractAsyncContextManager[None],
) -> AsyncIterator[None]:
    """Sweep the store, start the engine, publish examples; stop the engine at the end.

    The contexts of `background`, such as running trainings, last while requests are served. Usage
    is written meanwhile, and once more at the end. So are counts of canaries and recorded answers.
    """
    await run_in_threadpool(_tidy, registry)
    usage = UsageLog(registry.database)
    answers = answer_store(settings, registry.database)
    async with (
        usage_writer.writing(engine.usage, usage, retention_days=settings.usage_retention_days),
        canary_writer.writing(engine.canaries, StoredCounts(registry.database)),
        recording(engine.answers, answers, Sealer(settings.feedback_key_list)),
        _running(engine),
        refreshing(registry.database, registry.refresh),
    ):
        if settings.examples_folder is not None:
            publisher = Publisher(registry, engine, [engine.backbone.fingerprint])
            await seed_examples(settings.examples_folder, registry, publisher)
        async with AsyncExitStack() as stack:
            for one in background:
                await stack.enter_async_context(one)
            yield


@asynccontextmanager
async def _running(engine: Engine) -> AsyncIterator[None]:
    await engine.start()
    try:
        yield
    finally:
        await engine.stop()


def _tidy(registry: PrefixRegistry) -> None:
    """Clean up after crashes. A full disk must not prevent the server from starting."""
    try:
        registry.sweep()
    except StoreUnavailable as error:
        _log.warning("cannot clean up the store: %s", error)
    registry.database.reserve_space()
