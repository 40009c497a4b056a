"""The ASGI application: its routes and its middleware."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from starlette.middleware.cors import CORSMiddleware

from prefixes import BackboneFingerprint
from prefixes.limits import Limits
from prefixes.registry import (
    AliasRules,
    ApiKeys,
    AuditLog,
    Canaries,
    FeedbackSettings,
    LimitStore,
    PrefixRegistry,
    Retention,
    Sharing,
    Tenants,
    UsageLog,
)
from prefixes.registry.answer_hours import AnswerHours
from prefixes.registry.outbox import Outbox
from prefixes.registry.webhooks import Webhooks
from server.api import (
    alias_rules,
    aliases,
    audit,
    batches,
    canaries,
    deletions,
    docs_page,
    drift,
    feedback,
    key_uses,
    keys,
    limits,
    me,
    operator_keys,
    prefixes,
    problem_responses,
    review,
    sharing,
    status,
    tasks,
    tenants,
    trainings,
    usage,
    webhooks,
)
from server.api.dialects import (
    hugging_face,
    label_studio,
    open_inference,
    openai_embeddings,
    openai_models,
    tei,
    vllm,
)
from server.api.middleware.body_limit import BodyLimit
from server.api.middleware.close_on_shutdown import CloseOnShutdown
from server.api.middleware.compression import Compression
from server.api.middleware.head_as_get import HeadAsGet
from server.api.middleware.request_log import RequestLog
from server.api.middleware.security_headers import SecurityHeaders
from server.api.public_prefixes import PublicPrefixes
from server.api.services import InferenceEngine, Services
from server.api.webhook_events import ErrorEvents
from server.batch_files.folders import BatchFolders
from server.batch_files.store import batch_store
from server.cache_refresh import refreshing
from server.console import pages as console_pages
from server.console import session as console_session
from server.engine.recording.store import answer_store
from server.feedback.sealing import Sealer
from server.observability.metrics import RequestMetrics
from server.observability.tracing import Tracing
from server.publishing import Publisher
from server.settings import Settings
from server.shutdown import Shutdown
from server.training_jobs.folders import TrainingFolders
from server.training_jobs.store import training_store

_DESCRIPTION: Final = (
    "Serves thousands of small trained prefixes over one frozen encoder: classification, token "
    "classification, question answering, multiple choice and embeddings. Errors are "
    "`application/problem+json` (RFC 9457) with a stable `code`."
)

DIALECTS: Final = (
    openai_embeddings, hugging_face, tei, vllm, open_inference, label_studio, openai_models,
)  # fmt: skip
"""Modules with the routes of other servers' APIs, in the order of the OpenAPI document."""

_EXPOSED_HEADERS: Final = (
    "Content-Disposition", "ETag", "Location", "Polyprefix-Registry-State", "RateLimit",
    "RateLimit-Policy", "Retry-After", "WWW-Authenticate", "X-Request-Id", "X-Compute-Tokens",
    "X-Queue-Time", "X-Inference-Time", "X-Total-Time",
)  # fmt: skip


def create_app(
    settings: Settings,
    *,
    backbones: Sequence[BackboneFingerprint],
    engine: InferenceEngine,
    registry: PrefixRegistry,
    metrics: RequestMetrics,
    while_served: AbstractAsyncContextManager[None],
    shutdown: Shutdown | None = None,
    tracing: Tracing | None = None,
) -> FastAPI:
    """Build the application.

    Args:
        settings: the settings of the operator.
        backbones: those that uploaded prefixes may fit, the default first.
        engine: answers the inference routes.
        registry: the prefixes, tenants and keys. The caller closes it.
        metrics: counts requests, and is exported at /metrics.
        while_served: entered before the first request, and left after the last.
        shutdown: begins before the server exits. Event streams and incomplete bodies end then.
        tracing: creates the spans of requests. None: as the settings say.
    """
    if tracing is None and settings.tracing:
        tracing = Tracing.from_environment(status.program_version())
    services = _services(
        settings, backbones, engine, registry, metrics, shutdown=shutdown or Shutdown()
    )
    app = FastAPI(
        title="polyprefix",
        version=status.program_version(),
        description=_DESCRIPTION,
        lifespan=lambda _: _lifespan(services, while_served, tracing),
        redirect_slashes=False,
        docs_url=None,  # FastAPI's pages load scripts from other hosts
        redoc_url=None,
        responses=problem_responses.responses(408, 415, 429),  # the limits of bodies, on all routes
    )
    app.state.services = services
    _add_routes(app)
    _add_middleware(app, services, tracing)
    return app


def _services(
    settings: Settings,
    backbones: Sequence[BackboneFingerprint],
    engine: InferenceEngine,
    registry: PrefixRegistry,
    metrics: RequestMetrics,
    *,
    shutdown: Shutdown,
) -> Services:
    return Services(
        settings=settings,
        backbones=backbones,
        engine=engine,
        publisher=Publisher(registry, engine, backbones),
        registry=registry,
        keys=ApiKeys(registry.database, settings.default_limits),
        limits=LimitStore(registry.database, settings.default_limits),
        anonymous_limits=Limits.of(settings.default_limits),
        tenants=Tenants(registry.database),
        sharing=Sharing(registry.database),
        canaries=Canaries(registry.database),
        alias_rules=AliasRules(registry.database),
        retention=Retention(registry.database),
        audit=AuditLog(registry.database),
        usage=UsageLog(registry.database),
        statistics=AnswerHours(registry.database),
        webhooks=Webhooks(registry.database),
        feedback=FeedbackSettings(registry.database),
        answers=answer_store(settings, registry.database),
        sealer=Sealer(settings.feedback_key_list),
        events=ErrorEvents(Outbox(registry.database)),
        metrics=metrics,
        trainings=training_store(settings, registry.database),
        training_folders=TrainingFolders(settings.store_folder, settings.bucket),
        batches=batch_store(settings, registry.database),
        batch_folders=BatchFolders(settings.store_folder, settings.bucket),
        public=PublicPrefixes(registry),
        shutdown=shutdown,
    )


@asynccontextmanager
async def _lifespan(
    services: Services, while_served: AbstractAsyncContextManager[None], tracing: Tracing | None
) -> AsyncIterator[None]:
    try:
        async with (
            while_served,
            key_uses.writing(services.keys.uses),
            refreshing(
                services.registry.database, services.keys.refresh, services.registry.refresh
            ),
        ):
            yield
    finally:
        if tracing is not None:
            await run_in_threadpool(tracing.close)


def _add_routes(app: FastAPI) -> None:
    for module in (
        tasks,
        *DIALECTS,
        prefixes,
        aliases,
        alias_rules,
        canaries,
        drift,
        deletions,
        sharing,
        trainings,
        batches,
        tenants,
        keys,
        limits,
        operator_keys,
        audit,
        usage,
        webhooks,
        feedback,
        review,
        me,
        status,
    ):
        app.include_router(module.router)
    app.include_router(console_session.sign_in_router)
    app.include_router(console_session.open_router)
    console_pages.install(app)
    docs_page.install(app)
    problem_responses.install(app)


def _add_middleware(app: FastAPI, services: Services, tracing: Tracing | None) -> None:
    """Add the middleware, from the innermost to the outermost."""
    app.add_middleware(BodyLimit, settings=services.settings, shutdown=services.shutdown)
    app.add_middleware(Compression)
    app.add_middleware(HeadAsGet)
    if services.settings.cors_origins is not None:
        _add_cors(app, services.settings.cors_origin_list)
    app.add_middleware(RequestLog, metrics=services.metrics, tracing=tracing)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(CloseOnShutdown, shutdown=services.shutdown)


def _add_cors(app: FastAPI, origins: Sequence[str]) -> None:
    """Allow web pages of these origins to call the server with a key. Cookies are not used."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
        allow_headers=("*",),  # clients of other servers' APIs send their own headers
        expose_headers=_EXPOSED_HEADERS,
    )
