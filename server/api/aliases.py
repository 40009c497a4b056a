"""The routes of a task's aliases: promote and roll back."""

import re
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Response

from prefixes import PrefixRef
from server.api.dependencies import ActorDep, AuthenticatedRoute, ServicesDep, bearer
from server.api.problem_responses import responses
from server.api.schemas import AliasTarget, PromoteRequest
from server.errors import AliasMoved, BadPrecondition

router = APIRouter(
    prefix="/v1/tenants/{tenant}/prefixes/{task}/aliases/{alias}",
    route_class=AuthenticatedRoute,
    tags=["prefixes"],
    dependencies=[Depends(bearer)],
    responses=responses(401, 403, 404, 422, 503),
)

_VERSION: Final = re.compile(r'"([1-9][0-9]{0,8})"', re.ASCII)

_ETAG: Final = {
    "ETag": {
        "description": "The version that the alias points to, in quotes.",
        "schema": {"type": "string"},
    }
}
_WITH_ETAG: Final[dict[int | str, dict[str, Any]]] = {200: {"headers": _ETAG}}


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
    response: Response,
    services: ServicesDep,
    actor: ActorDep,
    if_match: Annotated[
        str | None, Header(description="The version that the alias must point to now, in quotes.")
    ] = None,
    if_none_match: Annotated[
        str | None, Header(description="`*`, if the alias must not exist yet.")
    ] = None,
) -> AliasTarget:
    """Requests after the response use the new version. Requests in flight keep their version."""
    to = (tenant, task, alias, body.version)
    registry = services.registry
    if if_match is None and if_none_match is None:
        await services.write(partial(registry.promote, *to, by=actor))
    else:
        expected = _expected_version(if_match, if_none_match)
        replace = partial(registry.replace, *to, instead_of=expected, by=actor)
        if not await services.write(replace):
            wanted = "does not exist" if expected is None else f"points to version {expected}"
            raise AliasMoved(
                f"{tenant}/{task}:{alias} was not moved: the request requires that it {wanted}, "
                "and this is not the case. Show the task, then repeat the request with its "
                "current version."
            )
    return await _target(services, response, PrefixRef(tenant, task, version=body.version))


@router.post(
    "/rollback",
    summary="Roll back: undo the last move of an alias",
    responses={**_WITH_ETAG, **responses(409)},
)
async def rollback(  # noqa: PLR0917 - FastAPI passes all by name
    tenant: str,
    task: str,
    alias: str,
    response: Response,
    services: ServicesDep,
    actor: ActorDep,
) -> AliasTarget:
    """Each further call undoes one more move."""
    version = await services.write(
        partial(services.registry.rollback, tenant, task, alias, by=actor)
    )
    return await _target(services, response, PrefixRef(tenant, task, version=version))


def _expected_version(if_match: str | None, if_none_match: str | None) -> int | None:
    """Return the version that an alias must point to; None if it must not exist.

    Raises:
        BadPrecondition: when the headers mean anything else.
    """
    if if_match is None and (if_none_match or "").strip() == "*":
        return None
    version = _VERSION.fullmatch((if_match or "").strip())
    if version is not None and if_none_match is None:
        return int(version[1])
    raise BadPrecondition(
        'Invalid precondition: send one of `If-Match: "3"`, with the version that the alias points '
        "to in quotes, and `If-None-Match: *`."
    )


async def _target(services: ServicesDep, response: Response, ref: PrefixRef) -> AliasTarget:
    find = partial(services.registry.version, ref, reader=ref.tenant)
    found = await services.read(find)
    response.headers["ETag"] = f'"{found.number}"'
    return AliasTarget(ref=str(found.ref), version=found.number, digest=found.digest)
