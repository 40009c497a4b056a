"""The application: routes, layers and lifespan around the parts it is given."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool

from prefixes import BackboneFingerprint
from prefixes.registry import ApiKeys, PrefixRegistry
from server.api import embeddings, models, prefixes, problems, status, tasks, tei, vllm
from server.api.deps import Classifier, Parts
from server.api.middleware import BodyLimit, RequestLog
from server.observe import Metrics
from server.publishing import Publisher
from server.seeding import seed_examples
from server.settings import Settings

_DESCRIPTION: Final = (
    "Thousands of small trained prefixes over one frozen encoder: classification, entities, "
    "answers, choices, embeddings. Errors are "
    "`application/problem+json` (RFC 9457) with a stable `code`."
)


def create_app(
    settings: Settings,
    *,
    backbone: BackboneFingerprint,
    engine: Classifier,
    registry: PrefixRegistry,
    metrics: Metrics,
) -> FastAPI:
    """Build the application; its lifespan starts and stops the engine and seeds the examples.

    Args:
        settings: bounds and choices of the operator.
        backbone: what uploaded prefixes must fit.
        engine: answers classification; not yet started.
        registry: where prefixes, tenants and keys are kept; stays open.
        metrics: what the engine reports to, shown at /metrics.
    """
    publisher = Publisher(registry, engine, backbone)
    parts = Parts(
        settings=settings,
        backbone=backbone,
        engine=engine,
        publisher=publisher,
        registry=registry,
        keys=ApiKeys(registry.database),
        metrics=metrics,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(registry.sweep)
        await engine.start()
        try:
            if settings.examples_folder is not None:
                await seed_examples(settings.examples_folder, registry, publisher)
            yield
        finally:
            await engine.stop()

    app = FastAPI(
        title="polyprefix",
        version=status.program_version(),
        description=_DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.parts = parts
    for module in (tasks, embeddings, tei, vllm, models, prefixes, status):
        app.include_router(module.router)
    problems.install(app)
    app.add_middleware(
        BodyLimit,
        max_body_bytes=settings.max_body_kib * 2**10,
        max_upload_bytes=settings.max_upload_mib * 2**20,
        body_seconds=settings.request_timeout_seconds,
    )
    app.add_middleware(RequestLog, metrics=metrics)  # added last, hence outermost
    _watch(metrics, engine)
    return app


def _watch(metrics: Metrics, engine: Classifier) -> None:
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
