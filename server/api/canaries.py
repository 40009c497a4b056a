"""The routes of an alias's canary: show, start, change, promote and cancel."""

from functools import partial
from typing import Final

from fastapi import APIRouter, Depends, Request, Response

from prefixes import PrefixRef
from prefixes.registry import Canary
from server.api.aliases import target_of
from server.api.canary_schemas import (
    CanaryReport,
    CanaryRequest,
    CanaryState,
    canary_report,
    canary_state,
)
from server.api.dependencies import ActorDep, AuthenticatedRoute, ServicesDep, bearer
from server.api.idempotency import IdempotencyHeader, key_of
from server.api.preconditions import IfMatch, IfNoneMatch, etag, revision_check, with_etag
from server.api.problem_responses import responses
from server.api.schemas import AliasTarget
from server.errors import CanaryChanged

router = APIRouter(
    prefix="/v1/tenants/{tenant}/prefixes/{task}/aliases/{alias}/canary",
    route_class=AuthenticatedRoute,
    tags=["prefixes"],
    dependencies=[Depends(bearer)],
    responses=responses(401, 403, 404, 422, 503),
)

_check: Final = partial(revision_check, noun="canary", error=CanaryChanged)
_WITH_ETAG: Final = with_etag("The state of the canary, which every change replaces, in quotes.")


@router.get("", summary="Show the canary of an alias", responses=_WITH_ETAG)
async def show_canary(
    tenant: str, task: str, alias: str, response: Response, services: ServicesDep
) -> CanaryState:
    """Returns its version and its share of the callers."""
    canary = await services.read(partial(services.canaries.find, tenant, task, alias))
    return _with_etag(canary, response)


@router.get("/report", summary="Compare the canary of an alias with its stable version")
async def report_canary(tenant: str, task: str, alias: str, services: ServicesDep) -> CanaryReport:
    """Returns counts since the canary was started."""
    await services.read(partial(services.canaries.find, tenant, task, alias))
    return canary_report(await services.engine.canary_counts(tenant, task, alias))


@router.put(
    "",
    summary="Start a canary, or change its share",
    responses={**_WITH_ETAG, **responses(400, 412)},
)
async def set_canary(  # noqa: PLR0917 - FastAPI passes all by name
    tenant: str,
    task: str,
    alias: str,
    body: CanaryRequest,
    response: Response,
    services: ServicesDep,
    actor: ActorDep,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> CanaryState:
    """Requests after the response are split anew. Requests in flight keep their version."""
    check = _check(if_match, if_none_match)
    change = partial(services.canaries.set, tenant, task, alias, body.plan(), check=check, by=actor)
    return _with_etag(await services.write(change), response)


@router.post(
    "/promote",
    summary="Promote a canary: point the alias to its version",
    responses={
        **with_etag("The version that the alias points to, in quotes."),
        **responses(400, 412),
    },
)
async def promote_canary(  # noqa: PLR0917 - FastAPI passes all by name
    tenant: str,
    task: str,
    alias: str,
    request: Request,
    response: Response,
    services: ServicesDep,
    actor: ActorDep,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyHeader = None,
) -> AliasTarget:
    """Its version answers all callers, and the canary ends."""
    once = key_of(idempotency_key, request)
    promote = partial(services.canaries.promote, tenant, task, alias, by=actor, once=once)
    version = await services.write(partial(promote, check=_check(if_match, None)))
    return await target_of(services, response, PrefixRef(tenant, task, version=version))


@router.delete("", summary="Cancel a canary", status_code=204, responses=responses(400, 412))
async def cancel_canary(  # noqa: PLR0917 - FastAPI passes all by name
    tenant: str,
    task: str,
    alias: str,
    services: ServicesDep,
    actor: ActorDep,
    if_match: IfMatch = None,
) -> None:
    """The version that the alias points to answers all callers again."""
    cancel = partial(
        services.canaries.cancel, tenant, task, alias, check=_check(if_match, None), by=actor
    )
    await services.write(cancel)


def _with_etag(canary: Canary, response: Response) -> CanaryState:
    response.headers["ETag"] = etag(canary.revision)
    return canary_state(canary)
