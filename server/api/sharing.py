"""The routes that share a prefix: with named tenants, or with everyone."""

from functools import partial

from fastapi import APIRouter, Depends

from prefixes.names import check_name
from prefixes.registry import Readers
from server.api.dependencies import ActorDep, AuthenticatedRoute, ServicesDep, bearer
from server.api.problem_responses import responses
from server.api.tenant_schemas import ReaderList

router = APIRouter(
    prefix="/v1/tenants/{tenant}/prefixes/{task}",
    route_class=AuthenticatedRoute,
    tags=["prefixes"],
    dependencies=[Depends(bearer)],
    responses=responses(401, 403, 404, 422, 503),
)


@router.get("/readers", summary="List who may read a prefix in addition to its owner")
async def list_readers(tenant: str, task: str, services: ServicesDep) -> ReaderList:
    """Tenants are listed by name. They need not exist."""
    return _shown(await services.read(partial(services.sharing.readers, tenant, task)))


@router.put("/readers/{reader}", summary="Let another tenant read a prefix")
async def add_reader(
    tenant: str, task: str, reader: str, services: ServicesDep, actor: ActorDep
) -> ReaderList:
    """The reader may run all versions and download their files.

    The response is the same whether the reader exists or not.
    """
    check_name("tenant", reader)
    add = partial(services.sharing.add, tenant, task, reader, by=actor)
    return _shown(await services.write(add))


@router.delete("/readers/{reader}", summary="Stop sharing a prefix with another tenant")
async def remove_reader(
    tenant: str, task: str, reader: str, services: ServicesDep, actor: ActorDep
) -> ReaderList:
    """Applies to the next request."""
    check_name("tenant", reader)
    remove = partial(services.sharing.remove, tenant, task, reader, by=actor)
    return _shown(await services.write(remove))


@router.put("/public", summary="Let everyone read a prefix")
async def make_public(tenant: str, task: str, services: ServicesDep, actor: ActorDep) -> ReaderList:
    """Callers without a key may run all versions and download their files."""
    share = partial(services.sharing.set_public, tenant, task, is_public=True, by=actor)
    return _shown(await services.write(share))


@router.delete("/public", summary="Stop sharing a prefix with everyone")
async def make_private(
    tenant: str, task: str, services: ServicesDep, actor: ActorDep
) -> ReaderList:
    """Applies to the next request. Named readers may still read the prefix."""
    share = partial(services.sharing.set_public, tenant, task, is_public=False, by=actor)
    return _shown(await services.write(share))


def _shown(readers: Readers) -> ReaderList:
    return ReaderList(is_public=readers.is_public, tenants=list(readers.tenants))
