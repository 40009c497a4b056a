"""The routes of operators' API keys: issue, list, show, rotate, revoke."""

from fastapi import APIRouter, Depends, Response

from server.api.dependencies import ActorDep, AuthenticatedRoute, ServicesDep, bearer
from server.api.key_manager import KeyManager
from server.api.pages import PAGE_SIZE, PageSize
from server.api.problem_responses import responses
from server.api.tenant_schemas import (
    DEFAULT_ROTATION,
    KeyList,
    KeyStatus,
    NewKey,
    OperatorKeyRequest,
    RotateRequest,
)

router = APIRouter(
    prefix="/v1/operator-keys",
    route_class=AuthenticatedRoute,
    tags=["keys"],
    dependencies=[Depends(bearer)],
    responses=responses(401, 403, 422, 503),
)


@router.post("", summary="Issue an operator's key", status_code=201, responses=responses(400, 413))
async def issue_operator_key(
    body: OperatorKeyRequest, response: Response, services: ServicesDep, actor: ActorDep
) -> NewKey:
    """The response contains the key, which cannot be read again: only its hash is stored."""
    return await KeyManager(services, None).issue("operator", body, response, actor)


@router.get(
    "",
    summary="List the keys of operators, oldest first",
    response_model=KeyList,
    responses=responses(404),
)
async def list_operator_keys(
    services: ServicesDep, after: str | None = None, limit: PageSize = PAGE_SIZE
) -> Response:
    """Revoked and expired keys are included. `next` is the path of the next page."""
    return await KeyManager(services, None).list(after, limit)


@router.get("/{key_id}", summary="Show an operator's key", responses=responses(404))
async def show_operator_key(key_id: str, services: ServicesDep) -> KeyStatus:
    """Shows everything but the key itself."""
    return await KeyManager(services, None).show(key_id)


@router.post(
    "/{key_id}/rotate",
    summary="Replace an operator's key",
    status_code=201,
    responses=responses(400, 404, 409, 413),
)
async def rotate_operator_key(
    key_id: str,
    response: Response,
    services: ServicesDep,
    actor: ActorDep,
    body: RotateRequest = DEFAULT_ROTATION,
) -> NewKey:
    """Issues a key with the same label. The old key expires after the overlap."""
    return await KeyManager(services, None).rotate(key_id, body, response, actor)


@router.delete(
    "/{key_id}", summary="Revoke an operator's key", status_code=204, responses=responses(404, 409)
)
async def revoke_operator_key(key_id: str, services: ServicesDep, actor: ActorDep) -> None:
    """The last one that does not expire can be revoked only at the command line."""
    await KeyManager(services, None).revoke(key_id, actor)
