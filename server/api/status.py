"""How the server is: alive, ready (or why not), measured."""

import logging
from hmac import compare_digest
from importlib.metadata import PackageNotFoundError, version

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import SecretStr

from prefixes.errors import StoreUnavailable
from server.api.auth import bearer_token
from server.api.dependencies import ServicesDep, bearer
from server.api.problem_responses import response_to, responses
from server.api.problems import not_ready
from server.api.services import Services
from server.errors import InvalidKey, KeyRequired

router = APIRouter(tags=["status"])

_log = logging.getLogger(__name__)


@router.get("/", summary="Name, version and where to go on")
async def root(services: ServicesDep) -> dict[str, str]:
    """A first answer for whoever opens the address."""
    return {
        "name": "polyprefix",
        "version": program_version(),
        "backbone": services.backbone.name,
        "docs": "/docs",
        "openapi": "/openapi.json",
        "models": "/v1/models",
        "ready": "/readyz",
        "metrics": "/metrics",
    }


@router.get("/livez", summary="Whether the process answers")
@router.get("/health", summary="As /livez")
@router.get("/ping", summary="As /livez")
async def livez() -> dict[str, str]:
    """Always the same; a process that cannot say it should be restarted."""
    return {"status": "alive"}


@router.get("/readyz", summary="Whether requests are taken, or why not", responses=responses(503))
async def readyz(request: Request, services: ServicesDep) -> Response:
    """503 with the reasons while starting, draining, or when a part has failed.

    `warnings` report what does not stop requests, such as a disk that is nearly full.
    """
    problems = (await services.engine.find_problem(), await _store_problem(services))
    reasons = [problem for problem in problems if problem]
    if reasons:
        return response_to(not_ready(reasons), request.scope)
    warning = await run_in_threadpool(services.registry.space_warning)
    return JSONResponse({"status": "ready"} | ({"warnings": [warning]} if warning else {}))


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=Response,
    dependencies=[Depends(bearer)],
    responses=responses(401),
)
async def metrics(request: Request, services: ServicesDep) -> Response:
    """All metrics in Prometheus' text format."""
    _check_metrics_key(request, services.settings.metrics_key)
    return Response(await services.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


def program_version() -> str:
    """The installed version; `0+source` when run from a checkout that is not installed."""
    try:
        return version("polyprefix")
    except PackageNotFoundError:
        return "0+source"


def _check_metrics_key(request: Request, key: SecretStr | None) -> None:
    """Raise where the operator has set a key and the caller sends none, or another."""
    if key is None:
        return
    header = request.headers.get("authorization")
    if header is None:
        raise KeyRequired("The metrics need the key in POLYPREFIX_METRICS_KEY: send it as a bearer")
    sent, expected = bearer_token(header), key.get_secret_value().strip()
    if sent is None or not compare_digest(sent.encode(), expected.encode()):
        raise InvalidKey("This is not the key of the metrics: send the operator's, not a tenant's")


async def _store_problem(services: Services) -> str | None:
    """Say that the store fails, but not where it is: anyone may ask."""
    try:
        await run_in_threadpool(services.registry.tenants)
    except StoreUnavailable as error:
        _log.error("the store cannot be used: %s", error)
        return "the database cannot be used: the server's log has the reason"
    return None
