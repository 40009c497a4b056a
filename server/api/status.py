"""How the server is: alive, ready (or why not), measured."""

from importlib.metadata import PackageNotFoundError, version

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from prefixes.errors import StoreUnavailable
from server.api.deps import Parts, PartsDep
from server.api.problems import not_ready, responses

router = APIRouter(tags=["status"])


@router.get("/", summary="Name, version and where to go on")
async def root(parts: PartsDep) -> dict[str, str]:
    """A first answer for whoever opens the address."""
    return {
        "name": "polyprefix",
        "version": program_version(),
        "backbone": parts.backbone.name,
        "docs": "/docs",
        "openapi": "/openapi.json",
        "models": "/v1/models",
        "ready": "/readyz",
        "metrics": "/metrics",
    }


@router.get("/livez", summary="Whether the process answers")
async def livez() -> dict[str, str]:
    """Always the same; a process that cannot say it should be restarted."""
    return {"status": "alive"}


@router.get("/readyz", summary="Whether requests are taken, or why not", responses=responses(503))
async def readyz(request: Request, parts: PartsDep) -> Response:
    """503 with the reasons while starting, draining, or when a part has failed.

    `warnings` report what does not stop requests, such as a disk that is nearly full.
    """
    problems = (await parts.engine.find_problem(), await _store_problem(parts))
    reasons = [problem for problem in problems if problem]
    if reasons:
        return not_ready(reasons).response(request.scope)
    warning = await run_in_threadpool(parts.registry.space_warning)
    return JSONResponse({"status": "ready"} | ({"warnings": [warning]} if warning else {}))


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
async def metrics(parts: PartsDep) -> Response:
    """All metrics in Prometheus' text format."""
    return Response(await parts.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


def program_version() -> str:
    """The installed version; `0+source` when run from a checkout that is not installed."""
    try:
        return version("polyprefix")
    except PackageNotFoundError:
        return "0+source"


async def _store_problem(parts: Parts) -> str | None:
    try:
        await run_in_threadpool(parts.registry.tenants)
    except StoreUnavailable as error:
        return str(error)
    return None
