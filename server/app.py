"""The application: routes and layers around the parts it is given."""

from contextlib import AbstractAsyncContextManager
from typing import Final

from fastapi import FastAPI

from prefixes import BackboneFingerprint
from prefixes.registry import ApiKeys, PrefixRegistry
from server.api import (
    embeddings,
    models,
    prefixes,
    problems,
    status,
    tasks,
    tei,
    trainings,
    vllm,
)
from server.api.deps import Classifier, Parts
from server.api.middleware import BodyLimit, RequestLog
from server.observe import RequestMetrics
from server.publishing import Publisher
from server.settings import Settings
from server.trainings.folders import TrainingFolders
from server.trainings.records import Trainer
from server.trainings.store import training_store

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
    metrics: RequestMetrics,
    trainer: Trainer,
    while_served: AbstractAsyncContextManager[None],
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
    )

    app = FastAPI(
        title="polyprefix",
        version=status.program_version(),
        description=_DESCRIPTION,
        lifespan=lambda _: while_served,
        redirect_slashes=False,
    )
    app.state.parts = parts
    for module in (tasks, embeddings, tei, vllm, models, prefixes, trainings, status):
        app.include_router(module.router)
    problems.install(app)
    app.add_middleware(
        BodyLimit,
        max_body_bytes=settings.max_body_kib * 2**10,
        max_upload_bytes=settings.max_upload_mib * 2**20,
        max_training_bytes=settings.max_training_file_mib * 2**20,
        body_seconds=settings.request_timeout_seconds,
    )
    app.add_middleware(RequestLog, metrics=metrics)  # added last, hence outermost
    return app
