"""The routes that share a prefix: with named tenants, or with everyone."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from prefixes.names import check_name
from server.api.dependencies import ActorDep, AuthenticatedRoute, ServicesDep, bearer
from server.api.pages import PAGE_SIZE, PageSize, page_response
from server.api.problem_responses import responses
from server.api.services import Services
from server.api.tenant_schemas import ReaderList

router = APIRouter(
    prefix="/v1/tenants/{tenant}/prefixes/{task}",
    route_class=AuthenticatedRoute,
    tags=["prefixes"],
    dependencies=[Depends(bearer)],
    responses=responses(401, 403, 404, 422, 503),
)


@router.get(
    "/readers",
    summary="List who may read a prefix in addition to its owner",
    response_model=ReaderList,
)
async def list_readers(
    tenant: str,
    task: str,
    services: ServicesDep,
    after: Annotated[str, Query(max_length=64)] = "",
    limit: PageSize = PAGE_SIZE,
) -> Response:
    """Tenants are listed by name. They need not exist. `next` is the path of the next page."""
    if after:
        check_name("tenant", after)
    return await page_response(services, partial(_page, services, tenant, task, after, limit))


@router.put("/readers/{reader}", summary="Let another tenant read a prefix", status_code=204)
async def add_reader(
    tenant: str, task: str, reader: str, services: ServicesDep, actor: ActorDep
) -> None:
    """The reader may run all versions and download their files.

    The response is the same whether the reader exists or not.
    """
    check_name("tenant", reader)
    await services.write(partial(services.sharing.add, tenant, task, reader, by=actor))


@router.delete(
    "/readers/{reader}", summary="Stop sharing a prefix with another tenant", status_code=204
)
async def remove_reader(
    tenant: str, task: str, reader: str, services: ServicesDep, actor: ActorDep
) -> None:
    """Applies to the next request."""
    check_name("tenant", reader)
    await services.write(partial(services.sharing.remove, tenant, task, reader, by=actor))


@router.put("/public", summary="Let everyone read a prefix", status_code=204)
async def make_public(tenant: str, task: str, services: ServicesDep, actor: ActorDep) -> None:
    """Callers without a key may run all versions and download their files."""
    share = partial(services.sharing.set_public, tenant, task, is_public=True, by=actor)
    await services.write(share)


@router.delete("/public", summary="Stop sharing a prefix with everyone", status_code=204)
async def make_private(tenant: str, task: str, services: ServicesDep, actor: ActorDep) -> None:
    """Applies to the next request. Named readers may still read the prefix."""
    share = partial(services.sharing.set_public, tenant, task, is_public=False, by=actor)
    await services.write(share)


def _page(services: Services, tenant: str, task: str, after: str, limit: int) -> ReaderList:
    found = services.sharing.readers(tenant, task, after=after, limit=limit)
    is_last = len(found.tenants) < limit
    path = f"/v1/tenants/{tenant}/prefixes/{task}/readers"
    return ReaderList(
        is_public=found.is_public,
        tenants=list(found.tenants),
        next=None if is_last else f"{path}?limit={limit}&after={found.tenants[-1]}",
    )
