"""The routes of limits: of tenants, which operators change, and of keys."""

import re
from functools import partial
from typing import Final

from fastapi import APIRouter, Depends, Response

from prefixes.limits import LimitSet, tag_of
from server.api.dependencies import ActorDep, AuthenticatedRoute, ServicesDep, bearer
from server.api.limit_schemas import (
    KeyLimitsChange,
    KeyLimitsStatus,
    TenantLimitsChange,
    TenantLimitsStatus,
    key_limits_status,
    tenant_limits_status,
)
from server.api.preconditions import IfMatch, etag, with_etag
from server.api.problem_responses import responses
from server.errors import BadPrecondition

router = APIRouter(
    prefix="/v1/tenants/{tenant}",
    route_class=AuthenticatedRoute,
    tags=["limits"],
    dependencies=[Depends(bearer)],
    responses=responses(401, 403, 404, 422, 503),
)

_TAG: Final = re.compile(r'"([0-9a-f]{16})"', re.ASCII)

_WITH_ETAG: Final = with_etag("Changes with the limits that are set.")


@router.get("/limits", summary="Show the limits of a tenant", responses=_WITH_ETAG)
async def show_limits(tenant: str, response: Response, services: ServicesDep) -> TenantLimitsStatus:
    """Shows the limits that are set, the ones that apply, and what the tenant stores."""
    found = await services.read(partial(services.limits.of_tenant, tenant))
    _set_etag(response, found.set)
    return tenant_limits_status(found)


@router.patch(
    "/limits",
    summary="Change limits of a tenant",
    responses={**_WITH_ETAG, **responses(400, 412, 413)},
)
async def change_limits(  # noqa: PLR0917 - FastAPI passes all by name
    tenant: str,
    body: TenantLimitsChange,
    response: Response,
    services: ServicesDep,
    actor: ActorDep,
    if_match: IfMatch = None,
) -> TenantLimitsStatus:
    """Applies to the next request. Requests in flight finish."""
    change = partial(
        services.limits.change_tenant, tenant, body.changes(), tag=_tag(if_match), by=actor
    )
    found = await services.write(change)
    _set_etag(response, found.set)
    return tenant_limits_status(found)


@router.get("/keys/{key_id}/limits", summary="Show the limits of a key", responses=_WITH_ETAG)
async def show_key_limits(
    tenant: str, key_id: str, response: Response, services: ServicesDep
) -> KeyLimitsStatus:
    """A key is subject to the limits of its tenant, too."""
    found = await services.read(partial(services.limits.of_key, tenant, key_id))
    _set_etag(response, found)
    return key_limits_status(found)


@router.patch(
    "/keys/{key_id}/limits",
    summary="Change limits of a key",
    responses={**_WITH_ETAG, **responses(400, 412, 413)},
)
async def change_key_limits(  # noqa: PLR0917 - FastAPI passes all by name
    tenant: str,
    key_id: str,
    body: KeyLimitsChange,
    response: Response,
    services: ServicesDep,
    actor: ActorDep,
    if_match: IfMatch = None,
) -> KeyLimitsStatus:
    """A limit of a key may not exceed that of its tenant. Applies to the next request."""
    change = partial(
        services.limits.change_key, tenant, key_id, body.changes(), tag=_tag(if_match), by=actor
    )
    found = await services.write(change)
    _set_etag(response, found)
    return key_limits_status(found)


def _set_etag(response: Response, limits: LimitSet) -> None:
    response.headers["ETag"] = etag(tag_of(limits))


def _tag(if_match: str | None) -> str | None:
    """Return the tag in `If-Match`; None without the header.

    Raises:
        BadPrecondition: when the header has no tag of limits.
    """
    if if_match is None:
        return None
    tag = _TAG.fullmatch(if_match.strip())
    if tag is None:
        raise BadPrecondition("Invalid `If-Match`: send the `ETag` of the limits, in quotes.")
    return tag[1]
