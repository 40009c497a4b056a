"""The routes of a task's aliases: promote and roll back."""

from functools import partial
from typing import Final

from fastapi import APIRouter, Depends, Request, Response

from prefixes import PrefixRef
from server.api.dependencies import ActorDep, AuthenticatedRoute, ServicesDep, bearer
from server.api.idempotency import IdempotencyHeader, key_of
from server.api.preconditions import IfMatch, IfNoneMatch, etag, expected_number, with_etag
from server.api.problem_responses import responses
from server.api.schemas import AliasTarget, PromoteRequest
from server.api.services import Services
from server.errors import AliasMoved

router = APIRouter(
    prefix="/v1/tenants/{tenant}/prefixes/{task}/aliases/{alias}",
    route_class=AuthenticatedRoute,
    tags=["prefixes"],
    dependencies=[Depends(bearer)],
    responses=responses(401, 403, 404, 422, 503),
)

_WITH_ETAG: Final = with_etag("The version that the alias points to, in quotes.")


@router.put(
    "",
    summary="Promote: point an alias to a version",
    responses={**_WITH_ETAG, **responses(400, 412)},
)
async def promote(  # noqa: PLR0917 - FastAPI passes all by name
    tenant: str,
    task: str,
    alias: str,
    body: PromoteRequest,
    request: Request,
    response: Response,
    services: ServicesDep,
    actor: ActorDep,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
    idempotency_key: IdempotencyHeader = None,
) -> AliasTarget:
    """Requests after the response use the new version. Requests in flight keep their version."""
    to = (tenant, task, alias, body.version)
    registry = services.registry
    once = key_of(idempotency_key, request, body.model_dump_json())
    if if_match is None and if_none_match is None:
        await services.write(partial(registry.promote, *to, by=actor, once=once))
    else:
        expected = expected_number(if_match, if_none_match)
        replace = partial(registry.replace, *to, instead_of=expected, by=actor, once=once)
        if not await services.write(replace):
            wanted = "does not exist" if expected is None else f"points to version {expected}"
            raise AliasMoved(
                f"{tenant}/{task}:{alias} was not moved: the request requires that it {wanted}, "
                "and this is not the case. Show the task, then repeat the request with its "
                "current version."
            )
    return await target_of(services, response, PrefixRef(tenant, task, version=body.version))


@router.post(
    "/rollback",
    summary="Roll back: undo the last move of an alias",
    responses={**_WITH_ETAG, **responses(400, 409)},
)
async def rollback(  # noqa: PLR0917 - FastAPI passes all by name
    tenant: str,
    task: str,
    alias: str,
    request: Request,
    response: Response,
    services: ServicesDep,
    actor: ActorDep,
    idempotency_key: IdempotencyHeader = None,
) -> AliasTarget:
    """Each further call undoes one more move."""
    once = key_of(idempotency_key, request)
    undo = partial(services.registry.rollback, tenant, task, alias, by=actor, once=once)
    version = await services.write(undo)
    return await target_of(services, response, PrefixRef(tenant, task, version=version))


async def target_of(services: Services, response: Response, ref: PrefixRef) -> AliasTarget:
    """Describe the version that an alias points to now."""
    find = partial(services.registry.version, ref, reader=ref.tenant)
    found = await services.read(find)
    response.headers["ETag"] = etag(found.number)
    return AliasTarget(ref=str(found.ref), version=found.number, digest=found.digest)
