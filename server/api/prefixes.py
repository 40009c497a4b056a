"""The routes of a tenant's prefixes: upload, list, show, download and delete."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from prefixes import PrefixRef
from prefixes.errors import PrefixRejected
from prefixes.names import check_alias, check_name
from prefixes.registry import PrefixVersion, alias_values
from prefixes.upload_checks import upload_warnings
from server import media_types
from server.api.auth import Caller
from server.api.dependencies import ActorDep, AuthenticatedRoute, CallerDep, ServicesDep, bearer
from server.api.file_responses import OpenFileResponse
from server.api.idempotency import IdempotencyHeader, key_of
from server.api.problem_responses import responses
from server.api.schemas import (
    Alias,
    AliasCanary,
    AliasMove,
    CheckedFile,
    PrefixEntry,
    PrefixList,
    PrefixSummary,
    PublishedVersion,
    Version,
    VersionDetail,
)
from server.api.services import Services
from server.api.uploads import UPLOAD_FORM
from server.api.versions import VersionNumber, version_fields

router = APIRouter(
    prefix="/v1/tenants/{tenant}/prefixes",
    route_class=AuthenticatedRoute,
    tags=["prefixes"],
    dependencies=[Depends(bearer)],
    responses=responses(401, 403, 404, 422, 503),
)


Permanent = Annotated[
    bool, Query(description="Remove it at once, also if it is deleted already: no restoring.")
]

_FILE: Final[Mapping[str, Mapping[str, str]]] = {media_types.PREFIX_FILE: {}}


@router.get("", summary="List a tenant's prefixes")
async def list_prefixes(tenant: str, services: ServicesDep, caller: CallerDep) -> PrefixList:
    """Lists the prefixes that the caller may use: none of a private or unknown tenant."""
    check_name("tenant", tenant)
    found = await services.read(
        partial(services.registry.list_prefixes, reader=caller.reader_of(tenant), tenant=tenant)
    )
    return PrefixList(
        prefixes=[
            PrefixSummary(
                tenant=item.tenant,
                task=item.task,
                versions=list(item.versions),
                aliases=dict(item.aliases),
            )
            for item in found
        ]
    )


@router.get("/{task}", summary="Show a prefix: versions, aliases and their history")
async def show_prefix(
    tenant: str, task: str, services: ServicesDep, caller: CallerDep
) -> PrefixEntry:
    """Returns all versions in ascending order, and every alias with its moves."""
    return await prefix_entry(tenant, task, services, caller)


async def prefix_entry(tenant: str, task: str, services: Services, caller: Caller) -> PrefixEntry:
    """Read a task as the caller sees it. Its readers see nothing of canaries."""
    is_manager = caller.manages(tenant)
    show = partial(services.registry.show, tenant, task, reader=caller.reader_of(tenant))
    entry = await services.read(show)
    return PrefixEntry(
        tenant=entry.tenant,
        task=entry.task,
        versions=[Version(**version_fields(version, caller)) for version in entry.versions],
        aliases=[
            Alias(
                name=alias.name,
                version=alias.version,
                canary=_canary(alias) if is_manager else None,
                history=[
                    _move(move, tenant, caller)
                    for move in alias.moves
                    if is_manager or move.is_move
                ],
            )
            for alias in entry.aliases
        ],
    )


@router.post(
    "/{task}/versions",
    summary="Upload a prefix file as the next version",
    status_code=201,
    responses={
        200: {
            "model": PublishedVersion | CheckedFile,
            "description": "The task already has these bytes, or the file passed a dry run.",
        },
        **responses(400, 413, 429, 504),
    },
    openapi_extra=UPLOAD_FORM.openapi(),
)
async def upload_version(  # noqa: PLR0917 - FastAPI passes all by name
    tenant: str,
    task: str,
    request: Request,
    response: Response,
    services: ServicesDep,
    caller: CallerDep,
    actor: ActorDep,
    dry_run: Annotated[bool, Query(description="Check the file, and publish nothing.")] = False,  # noqa: FBT002 - as FastAPI passes it
    idempotency_key: IdempotencyHeader = None,
) -> PublishedVersion | CheckedFile:
    """Checks the file, replays its golden examples on this server's backbone, and publishes it.

    The response to a rejected file lists every finding, and nothing of the file is stored. The
    first version of a task also gets the alias `live`.
    """
    check_name("task", task)
    with services.uploads.take(tenant), services.registry.store.stage() as staged:
        texts = await UPLOAD_FORM.receive(request, lambda _name, _filename: staged.write)
        if dry_run:
            if (alias := texts.get("alias")) is not None:
                check_alias(alias)
            spec = (await services.publisher.check(staged)).spec
            response.status_code = 200
            return CheckedFile(
                digest=staged.digest,
                size_bytes=staged.size,
                task_type=spec.task_type,
                num_examples=len(spec.golden),
                warnings=[asdict(warning) for warning in upload_warnings(spec)],
            )
        alias = texts.get("alias")
        once = key_of(idempotency_key, request, staged.digest, alias)
        try:
            published = await services.publisher.publish(
                staged, tenant=tenant, task=task, alias=alias, by=actor, once=once
            )
        except PrefixRejected as error:
            await services.events.upload_rejected(tenant, task, staged.digest, error)
            raise
    if not published.is_new:
        response.status_code = 200
    version = published.version
    response.headers["Location"] = (
        f"/v1/tenants/{version.tenant}/prefixes/{version.task}/versions/{version.number}"
    )
    return PublishedVersion(**version_fields(version, caller), is_new=published.is_new)


@router.get("/{task}/versions/{version}", summary="Show a version with its description")
async def show_version(
    tenant: str, task: str, version: VersionNumber, services: ServicesDep, caller: CallerDep
) -> VersionDetail:
    """Returns the whole description in the file."""
    found = await _find(
        services, caller.reader_of(tenant), PrefixRef(tenant, task, version=version)
    )
    spec = await services.read(partial(services.registry.spec, found.digest))
    return VersionDetail(
        **version_fields(found, caller),
        task_type=spec.task_type,
        spec=spec.model_dump(mode="json"),
        metrics=dict(spec.metrics),
    )


@router.get(
    "/{task}/versions/{version}/file",
    summary="Download a version's file",
    response_class=Response,
    responses={
        200: {"content": _FILE, "description": "The bytes. `ETag` is their SHA-256."},
        206: {"content": _FILE, "description": "The bytes that `Range` requests."},
        304: {"description": "`If-None-Match` names these bytes."},
        **responses(400, 416),
    },
)
async def download_version(  # noqa: PLR0917 - FastAPI passes all by name
    tenant: str,
    task: str,
    version: VersionNumber,
    services: ServicesDep,
    caller: CallerDep,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Sends the bytes as they were uploaded, after verifying them against their digest."""
    found = await _find(
        services, caller.reader_of(tenant), PrefixRef(tenant, task, version=version)
    )
    etag = f'"{found.digest}"'
    headers = {"ETag": etag, "Cache-Control": "private, max-age=31536000, immutable"}
    if if_none_match is not None and etag in if_none_match:
        return Response(status_code=304, headers=headers)
    file = await services.read(partial(services.registry.open, found.digest))
    name = f"{tenant}-{task}-{version}.safetensors"
    headers["Content-Disposition"] = f'attachment; filename="{name}"'
    # Sent in pieces: slow receivers would otherwise each hold a whole file in memory.
    return OpenFileResponse(file, headers=headers, media_type=media_types.PREFIX_FILE)


@router.delete(
    "/{task}/versions/{version}",
    summary="Delete a version",
    status_code=204,
    responses=responses(409),
)
async def delete_version(  # noqa: PLR0917 - FastAPI passes all by name
    tenant: str,
    task: str,
    version: VersionNumber,
    services: ServicesDep,
    actor: ActorDep,
    permanent: Permanent = False,  # noqa: FBT002 - as FastAPI passes it
) -> None:
    """Fails while an alias points to the version or it is a canary. It can be restored."""
    registry = services.registry
    delete = registry.remove_version if permanent else registry.delete_version
    await services.write(partial(delete, tenant, task, version, by=actor))


@router.delete("/{task}", summary="Delete a prefix with all its versions", status_code=204)
async def delete_prefix(
    tenant: str,
    task: str,
    services: ServicesDep,
    actor: ActorDep,
    permanent: Permanent = False,  # noqa: FBT002 - as FastAPI passes it
) -> None:
    """Deletes all versions, aliases and readers. They can be restored."""
    registry = services.registry
    delete = registry.remove_prefix if permanent else registry.delete_prefix
    await services.write(partial(delete, tenant, task, by=actor))


def _move(move: alias_values.AliasMove, owner: str, caller: Caller) -> AliasMove:
    fields = asdict(move) | {"moved_by": caller.author(move.moved_by, owner)}
    return AliasMove(**fields)


def _canary(alias: alias_values.Alias) -> AliasCanary | None:
    if alias.canary is None:
        return None
    plan = alias.canary.plan
    return AliasCanary(version=plan.version, percent=plan.percent)


async def _find(services: ServicesDep, reader: str | None, ref: PrefixRef) -> PrefixVersion:
    return await services.read(partial(services.registry.version, ref, reader=reader))
