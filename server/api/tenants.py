"""The routes of tenants, which operators use: create, list, change, suspend, resume, delete."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from prefixes.names import check_name
from prefixes.registry import Tenant
from server.api.dependencies import ActorDep, AuthenticatedRoute, ServicesDep, bearer
from server.api.problem_responses import responses
from server.api.tenant_schemas import TenantChange, TenantList, TenantRequest, TenantStatus

router = APIRouter(
    prefix="/v1/tenants",
    route_class=AuthenticatedRoute,
    tags=["tenants"],
    dependencies=[Depends(bearer)],
    responses=responses(401, 403, 404, 422, 503),
)


@router.post("", summary="Create a tenant", status_code=201, responses=responses(400, 409, 413))
async def create_tenant(
    body: TenantRequest, response: Response, services: ServicesDep, actor: ActorDep
) -> TenantStatus:
    """The name of a deleted tenant is free once the tenant has been removed."""
    create = partial(
        services.tenants.create,
        body.name,
        is_public=body.is_public,
        by=actor,
    )
    made = await services.write(create)
    response.headers["Location"] = f"/v1/tenants/{made.name}"
    return _status(made)


@router.get("", summary="List tenants by name")
async def list_tenants(
    services: ServicesDep,
    after: Annotated[str, Query(max_length=64)] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> TenantList:
    """Suspended and deleted tenants are included. `next` is the path of the next page."""
    if after:
        check_name("tenant", after)
    found = await services.read(partial(services.tenants.list, after=after, limit=limit))
    is_last = len(found) < limit
    return TenantList(
        tenants=[_status(tenant) for tenant in found],
        next=None if is_last else f"/v1/tenants?limit={limit}&after={found[-1].name}",
    )


@router.get("/{tenant}", summary="Show a tenant")
async def show_tenant(tenant: str, services: ServicesDep) -> TenantStatus:
    """An `admin` of the tenant may read this, too."""
    return _status(await services.read(partial(services.tenants.find, tenant)))


@router.patch("/{tenant}", summary="Change a tenant", responses=responses(400, 413))
async def change_tenant(
    tenant: str, body: TenantChange, services: ServicesDep, actor: ActorDep
) -> TenantStatus:
    """Applies to the next request."""
    change = partial(services.tenants.set_public, tenant, is_public=body.is_public, by=actor)
    return _status(await services.write(change))


@router.post("/{tenant}/suspend", summary="Suspend a tenant")
async def suspend_tenant(tenant: str, services: ServicesDep, actor: ActorDep) -> TenantStatus:
    """From the next request on, its keys get 403 and nobody can use its prefixes."""
    return _status(await services.write(partial(services.tenants.suspend, tenant, by=actor)))


@router.post("/{tenant}/resume", summary="Undo the suspension or deletion of a tenant")
async def resume_tenant(tenant: str, services: ServicesDep, actor: ActorDep) -> TenantStatus:
    """The keys and prefixes of the tenant work again."""
    return _status(await services.write(partial(services.tenants.resume, tenant, by=actor)))


@router.delete("/{tenant}", summary="Delete a tenant")
async def delete_tenant(tenant: str, services: ServicesDep, actor: ActorDep) -> TenantStatus:
    """From the next request on, its keys get 401 and nobody can use its prefixes.

    Its trainings are canceled. The server removes the tenant's data after a grace period. Until
    then, it can be resumed.
    """
    return _status(await services.write(partial(services.tenants.delete, tenant, by=actor)))


def _status(tenant: Tenant) -> TenantStatus:
    return TenantStatus(
        name=tenant.name,
        state=tenant.state,
        is_public=tenant.is_public,
        created_at=tenant.created_at,
        suspended_at=tenant.suspended_at,
        deleted_at=tenant.deleted_at,
    )
