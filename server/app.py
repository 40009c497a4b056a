"""The application: routes and layers around the parts it is given."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from prefixes import BackboneFingerprint
from prefixes.registry import ApiKeys, PrefixRegistry
from server.api import docs_page, models, prefixes, problem_responses, status, tasks, trainings
from server.api.deps import Classifier, Parts
from server.api.dialects import embeddings, hub, tei, vllm
from server.api.middleware.body_limit import BodyLimit
from server.api.middleware.compression import Compression
from server.api.middleware.head_as_get import HeadAsGet
from server.api.middleware.request_log import RequestLog
from server.api.public_prefixes import PublicPrefixes
from server.observability.metrics import RequestMetrics
from server.publishing import Publisher
from server.settings import Settings
from server.shutdown import Shutdown
from server.training_jobs.folders import TrainingFolders
from server.training_jobs.records import Trainer
from server.training_jobs.store import training_store

_DESCRIPTION: Final = (
    "Thousands of small trained prefixes over one frozen encoder: classification, entities, "
    "answers, choices, embeddings. Errors are "
    "`application/problem+json` (RFC 9457) with a stable `code`."
)

_EXPOSED_HEADERS: Final = (
    "Content-Disposition", "ETag", "Location", "Retry-After", "WWW-Authenticate", "X-Request-Id",
    "X-Compute-Tokens", "X-Queue-Time", "X-Inference-Time", "X-Total-Time",
)  # fmt: skip


def create_app(
    settings: Settings,
    *,
    backbone: BackboneFingerprint,
    engine: Classifier,
    registry: PrefixRegistry,
    metrics: RequestMetrics,
    trainer: Trainer,
    while_served: AbstractAsyncContextManager[None],
    shutdown: Shutdown | None = None,
) -> FastAPI:
    """Build the application.

    Args:
        settings: bounds and choices of the operator.
        backbone: what uploaded prefixes must fit.
        engine: answers the inference routes.
        registry: where prefixes, tenants and keys are kept; stays open.
        metrics: where requests are counted; shown at /metrics.
        trainer: what may be asked of it.
        while_served: entered before the first request is taken, left after the last.
        shutdown: begins before the server ends, so that streams and half bodies do not delay it.
    """
    parts = Parts(
        settings=settings,
        backbone=backbone,
        engine=engine,
        publisher=Publisher(registry, engine, backbone),
        registry=registry,
        keys=ApiKeys(registry.database),
        metrics=metrics,
        trainer=trainer,
        trainings=training_store(settings, registry.database),
        training_folders=TrainingFolders(settings.store_folder),
        public=PublicPrefixes(registry),
        shutdown=shutdown or Shutdown(),
    )

    app = FastAPI(
        title="polyprefix",
        version=status.program_version(),
        description=_DESCRIPTION,
        lifespan=lambda _: while_served,
        redirect_slashes=False,
        docs_url=None,  # FastAPI's pages load scripts from other hosts
        redoc_url=None,
    )
    app.state.parts = parts
    for module in (tasks, embeddings, hub, tei, vllm, models, prefixes, trainings, status):
        app.include_router(module.router)
    docs_page.install(app)
    problem_responses.install(app)
    app.add_middleware(BodyLimit, settings=settings, shutdown=parts.shutdown)
    app.add_middleware(Compression)
    app.add_middleware(HeadAsGet)
    if settings.cors_origins is not None:
        _allow_other_origins(app, settings.cors_origin_list)
    app.add_middleware(RequestLog, metrics=metrics)  # added last, hence outermost
    return app


def _allow_other_origins(app: FastAPI, origins: Sequence[str]) -> None:
    """Let web pages of these origins call, with a key. Nothing here uses cookies."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=("GET", "HEAD", "POST", "PUT", "DELETE"),
        allow_headers=("*",),  # clients of other servers' dialects send headers of their own
        expose_headers=_EXPOSED_HEADERS,
    )
