"""Status routes: name and version, liveness, readiness, metrics."""

import logging
from hmac import compare_digest
from importlib.metadata import PackageNotFoundError, version

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, RedirectResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import SecretStr

from prefixes.errors import StoreUnavailable
from prefixes.registry import Database
from server.api.auth import bearer_token
from server.api.dependencies import WITHOUT_KEY, ServicesDep, bearer
from server.api.problem_responses import response_to, responses
from server.api.problems import not_ready
from server.api.schemas import BackboneSummary, Liveness, ServerSummary
from server.api.services import Services
from server.errors import InvalidKey, KeyRequired

router = APIRouter(tags=["status"])

_log = logging.getLogger(__name__)


@router.get("/", summary="Name, version and paths", response_model=ServerSummary)
async def root(request: Request, services: ServicesDep) -> Response:
    """Names the server and the paths to start from. Browsers are redirected to the console."""
    if "text/html" in request.headers.get("accept", ""):
        prefix = request.scope.get("root_path", "").rstrip("/")
        return RedirectResponse(f"{prefix}/console", 303, {"Vary": "Accept"})
    summary = ServerSummary(
        version=program_version(),
        backbone=services.backbone.name,
        backbones=[
            BackboneSummary(name=one.name, weights_sha256=one.weights_sha256)
            for one in services.backbones
        ],
    )
    return JSONResponse(summary.model_dump(), headers={"Vary": "Accept"})


@router.get(
    "/livez",
    summary="Check that the process needs no restart",
    response_model=Liveness,
    responses=responses(503),
)
@router.get("/health", summary="Same as /livez", response_model=Liveness, responses=responses(503))
@router.get("/ping", summary="Same as /livez", response_model=Liveness, responses=responses(503))
async def livez(request: Request, services: ServicesDep) -> Response:
    """Responds 503 after the device has failed. Restart such a process, or one without response."""
    failure = await services.engine.find_failure()
    if failure is not None:
        return response_to(not_ready([failure]), request.scope)
    return JSONResponse(Liveness().model_dump())


@router.get("/readyz", summary="Check that the server accepts requests", responses=responses(503))
async def readyz(request: Request, services: ServicesDep) -> Response:
    """Responds 503 with the reasons while starting, while draining, and after a failure.

    `warnings` report problems that do not stop requests, such as a disk that is nearly full. The
    status `degraded` means that the database cannot be reached, and only requests whose keys and
    models are cached are answered.
    """
    outage = _outage_warning(services.registry.database)
    store_problem = None if outage else await _store_problem(services)
    reasons = [one for one in (await services.engine.find_problem(), store_problem) if one]
    if reasons:
        return response_to(not_ready(reasons), request.scope)
    found = (outage, await run_in_threadpool(services.registry.space_warning))
    warnings = [warning for warning in found if warning]
    state = "degraded" if outage else "ready"
    return JSONResponse({"status": state} | ({"warnings": warnings} if warnings else {}))


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=Response,
    dependencies=[Depends(bearer)],
    responses=responses(401),
    openapi_extra=WITHOUT_KEY,
)
async def metrics(request: Request, services: ServicesDep) -> Response:
    """Returns all metrics in the text format of Prometheus."""
    _check_metrics_key(request, services.settings.metrics_key)
    return Response(await services.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


def program_version() -> str:
    """Return the installed version, or `0+source` for a checkout that is not installed."""
    try:
        return version("polyprefix")
    except PackageNotFoundError:
        return "0+source"


def _check_metrics_key(request: Request, key: SecretStr | None) -> None:
    """Raise when the operator has set a key and the request does not carry it."""
    if key is None:
        return
    header = request.headers.get("authorization")
    if header is None:
        raise KeyRequired(
            "The metrics require the key in POLYPREFIX_METRICS_KEY. Send it as a bearer token."
        )
    sent, expected = bearer_token(header), key.get_secret_value().strip()
    if sent is None or not compare_digest(sent.encode(), expected.encode()):
        raise InvalidKey(
            "Invalid key for the metrics. Send the operator's key, not the key of a tenant."
        )


def _outage_warning(database: Database) -> str | None:
    """Describe an outage of the database in which cached keys and versions are still served."""
    outage = database.outage
    if outage is None or not outage.is_tolerated:
        return None
    return (
        f"The database has been unreachable for {outage.seconds:.0f} seconds. Cached keys and "
        f"models are served for {outage.tolerated_seconds:g} seconds."
    )


async def _store_problem(services: Services) -> str | None:
    """Report a failure of the store, without its address: this route needs no key."""
    try:
        await run_in_threadpool(services.registry.tenants)
    except StoreUnavailable as error:
        _log.error("the store failed: %s", error)
        return "The database failed. The server's log has the reason."
    return None
