"""Routes of the Open Inference Protocol about the server: metadata, health, and the list of models.

The protocol, in version 2, is the one of KServe and Triton.
"""

import itertools
from functools import partial
from typing import Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from server.api.dependencies import CallerDep, ServicesDep, bearer
from server.api.dialects.open_inference_models import PLATFORM
from server.api.dialects.open_inference_models import router as models
from server.api.dialects.open_inference_requests import TensorRoute
from server.api.dialects.open_inference_schemas import (
    IndexEntry,
    IndexRequest,
    ServerLive,
    ServerMetadata,
    ServerReady,
)
from server.api.dialects.openai_models import MAX_MODELS
from server.api.problem_responses import responses
from server.api.status import livez, program_version, readyz

_EXTENSIONS: Final = ("binary_tensor_data", "classification", "model_repository")

router = APIRouter(tags=["compatible"])
_index = APIRouter(route_class=TensorRoute, dependencies=[Depends(bearer)])


@router.get("/v2", summary="Describe the server as KServe does")
async def describe_server() -> ServerMetadata:
    """Names the server and the extensions of the protocol that it has."""
    return ServerMetadata(name=PLATFORM, version=program_version(), extensions=list(_EXTENSIONS))


@router.get(
    "/v2/health/live",
    summary="Check that the process needs no restart, as KServe does",
    response_model=ServerLive,
    responses=responses(503),
)
async def live(request: Request, services: ServicesDep) -> Response:
    """Responds as `/livez`."""
    response = await livez(request, services)
    return JSONResponse({"live": True}) if response.status_code == 200 else response


@router.get(
    "/v2/health/ready",
    summary="Check that the server accepts requests, as KServe does",
    response_model=ServerReady,
    responses=responses(503),
)
async def ready(request: Request, services: ServicesDep) -> Response:
    """Responds as `/readyz`, without its warnings."""
    response = await readyz(request, services)
    return JSONResponse({"ready": True}) if response.status_code == 200 else response


@_index.post(
    "/v2/repository/index",
    summary="List the models as Triton does",
    responses=responses(400, 401, 403, 422, 503),
)
async def list_models(
    services: ServicesDep, caller: CallerDep, _body: IndexRequest | None = None
) -> list[IndexEntry]:
    """Lists the versions that the caller may use, its own first, at most 10,000."""
    found = await services.read(partial(services.registry.list_prefixes, reader=caller.tenant))
    own_first = sorted(found, key=lambda item: item.tenant != caller.tenant)
    entries = (
        IndexEntry(name=f"{item.tenant}/{item.task}", version=str(number))
        for item in own_first
        for number in item.versions
    )
    return list(itertools.islice(entries, MAX_MODELS))


router.include_router(_index)
router.include_router(models)
