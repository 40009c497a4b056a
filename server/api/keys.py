"""The routes of a tenant's API keys: issue, list, show, rotate, revoke."""

from functools import partial

from fastapi import APIRouter, Depends, Response

from server.api.dependencies import ActorDep, AuthenticatedRoute, ServicesDep, bearer
from server.api.key_manager import KeyManager
from server.api.pages import PAGE_SIZE, PageSize
from server.api.problem_responses import responses
from server.api.tenant_schemas import (
    DEFAULT_ROTATION,
    KeyList,
    KeyRequest,
    KeyStatus,
    NewKey,
    RotateRequest,
)

router = APIRouter(
    prefix="/v1/tenants/{tenant}/keys",
    route_class=AuthenticatedRoute,
    tags=["keys"],
    dependencies=[Depends(bearer)],
    responses=responses(401, 403, 404, 422, 503),
)


@router.post("", summary="Issue a key", status_code=201, responses=responses(400, 413))
async def issue_key(
    tenant: str, body: KeyRequest, response: Response, services: ServicesDep, actor: ActorDep
) -> NewKey:
    """The response contains the key, which cannot be read again: only its hash is stored."""
    return await KeyManager(services, tenant).issue(body.role, body, response, actor)


@router.get("", summary="List the keys of a tenant, oldest first", response_model=KeyList)
async def list_keys(
    tenant: str,
    services: ServicesDep,
    after: str | None = None,
    limit: PageSize = PAGE_SIZE,
) -> Response:
    """Revoked and expired keys are included. `next` is the path of the next page."""
    await services.read(partial(services.tenants.find, tenant))
    return await KeyManager(services, tenant).list(after, limit)


@router.get("/{key_id}", summary="Show a key")
async def show_key(tenant: str, key_id: str, services: ServicesDep) -> KeyStatus:
    """Shows everything but the key itself."""
    return await KeyManager(services, tenant).show(key_id)


@router.post(
    "/{key_id}/rotate",
    summary="Replace a key",
    status_code=201,
    responses=responses(400, 409, 413),
)
async def rotate_key(  # noqa: PLR0917 - FastAPI passes all by name
    tenant: str,
    key_id: str,
    response: Response,
    services: ServicesDep,
    actor: ActorDep,
    body: RotateRequest = DEFAULT_ROTATION,
) -> NewKey:
    """Issues a key with the same role, label and limits. The old key expires after the overlap."""
    return await KeyManager(services, tenant).rotate(key_id, body, response, actor)


@router.delete("/{key_id}", summary="Revoke a key", status_code=204)
async def revoke_key(tenant: str, key_id: str, services: ServicesDep, actor: ActorDep) -> None:
    """The next request with the key gets 401. A revoked key stays in the list."""
    await KeyManager(services, tenant).revoke(key_id, actor)
