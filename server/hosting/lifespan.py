"""What belongs around a server's requests: the store swept, the engine started, examples there."""

import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from fastapi.concurrency import run_in_threadpool

from prefixes.errors import StoreUnavailable
from prefixes.registry import PrefixRegistry
from server.engine.engine import Engine
from server.hosting.seeding import seed_examples
from server.observe import Metrics
from server.publishing import Publisher

_log = logging.getLogger(__name__)


@asynccontextmanager
async def running(
    engine: Engine,
    registry: PrefixRegistry,
    examples_folder: Path | None,
    trainings: AbstractAsyncContextManager[None],
) -> AsyncIterator[None]:
    """Start the engine, publish examples, if there are any, run trainings; stop at the end."""
    await run_in_threadpool(_tidy, registry)
    await engine.start()
    try:
        if examples_folder is not None:
            publisher = Publisher(registry, engine, engine.backbone.fingerprint)
            await seed_examples(examples_folder, registry, publisher)
        async with trainings:
            yield
    finally:
        await engine.stop()


def _tidy(registry: PrefixRegistry) -> None:
    """Clean up after crashes; a full disk must not keep a server from starting."""
    try:
        registry.sweep()
    except StoreUnavailable as error:
        _log.warning("the store was not swept: %s", error)
    registry.database.reserve_space()


def watch(engine: Engine, registry: PrefixRegistry, metrics: Metrics) -> None:
    """Show the state of the engine and the store among the metrics."""
    metrics.watch(
        "store_free_bytes", "Free bytes on the disk of the store.", lambda: registry.free_bytes
    )
    metrics.watch(
        "waiting_inputs", "Texts admitted and not yet answered.", lambda: engine.num_waiting
    )
    metrics.watch(
        "resident_prefixes",
        "Prefixes on the device.",
        lambda: engine.resident_stats().num_resident,
    )
    metrics.watch(
        "resident_bytes",
        "Bytes that prefixes take on the device.",
        lambda: engine.resident_stats().used_bytes,
    )
    metrics.watch(
        "pinned_prefixes",
        "Prefixes that never leave the device.",
        lambda: engine.resident_stats().num_pinned,
    )
    metrics.watch(
        "host_prefixes",
        "Prefixes in the host's memory, beside the device.",
        lambda: engine.resident_stats().host.num_prefixes,
    )
    metrics.watch(
        "host_bytes",
        "Bytes that prefixes take in the host's memory, beside the device.",
        lambda: engine.resident_stats().host.used_bytes,
    )
    metrics.watch(
        "resident_capacity_bytes",
        "Bytes that prefixes may take on the device.",
        lambda: engine.resident_stats().capacity_bytes,
    )
    metrics.watch(
        "max_batch_tokens",
        "Most tokens in one forward pass, as set or as found at start.",
        lambda: engine.max_batch_tokens,
    )
    metrics.watch("ready", "1 while requests are taken.", lambda: engine.problem is None)
