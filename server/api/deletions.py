"""The routes of deleted prefixes, and of retention rules."""

from dataclasses import asdict
from functools import partial

from fastapi import APIRouter, Depends

from prefixes.registry import RetentionRule
from server.api.deletion_schemas import (
    DeletedPrefixes,
    RetentionRequest,
    RetentionState,
    deleted_prefixes,
)
from server.api.dependencies import ActorDep, AuthenticatedRoute, CallerDep, ServicesDep, bearer
from server.api.prefixes import prefix_entry
from server.api.problem_responses import responses
from server.api.schemas import PrefixEntry, Version
from server.api.versions import VersionNumber, version_fields

router = APIRouter(
    prefix="/v1/tenants/{tenant}",
    route_class=AuthenticatedRoute,
    tags=["prefixes"],
    dependencies=[Depends(bearer)],
    responses=responses(401, 403, 404, 422, 503),
)


@router.get("/deleted-prefixes", summary="List what can be restored")
async def list_deleted(tenant: str, services: ServicesDep) -> DeletedPrefixes:
    """Lists deleted tasks, and the deleted versions of other tasks."""
    tasks, versions = await services.read(partial(services.registry.deleted, tenant))
    return deleted_prefixes(tasks, versions, days=services.settings.deleted_prefix_days)


@router.post("/prefixes/{task}/versions/{version}/restore", summary="Restore a deleted version")
async def restore_version(  # noqa: PLR0917 - FastAPI passes all by name
    tenant: str,
    task: str,
    version: VersionNumber,
    services: ServicesDep,
    caller: CallerDep,
    actor: ActorDep,
) -> Version:
    """Undoes the deletion. Aliases do not change."""
    restore = partial(services.registry.restore_version, tenant, task, version, by=actor)
    return Version(**version_fields(await services.write(restore), caller))


@router.post(
    "/prefixes/{task}/restore",
    summary="Restore a deleted prefix with all its versions",
    responses=responses(409),
)
async def restore_prefix(
    tenant: str, task: str, services: ServicesDep, caller: CallerDep, actor: ActorDep
) -> PrefixEntry:
    """Undoes the last deletion of this name, with all aliases and readers."""
    await services.write(partial(services.registry.restore_prefix, tenant, task, by=actor))
    return await prefix_entry(tenant, task, services, caller)


@router.get("/prefixes/{task}/retention", summary="Show the retention rule of a prefix")
async def show_retention(tenant: str, task: str, services: ServicesDep) -> RetentionState:
    """Returns which versions are kept. Null means without this condition."""
    rule = await services.read(partial(services.retention.find, tenant, task))
    return RetentionState(**asdict(rule))


@router.put(
    "/prefixes/{task}/retention",
    summary="Set the retention rule of a prefix",
    responses=responses(400),
)
async def set_retention(
    tenant: str, task: str, body: RetentionRequest, services: ServicesDep, actor: ActorDep
) -> RetentionState:
    """The server deletes other versions within minutes. They can be restored."""
    rule = RetentionRule(body.keep_versions, body.keep_days)
    await services.write(partial(services.retention.set, tenant, task, rule, by=actor))
    return RetentionState(**asdict(rule))
