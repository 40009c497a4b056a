"""Batch files under /v1/batches: add, list, follow, cancel and delete them, download results."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from prefixes.errors import StoreUnavailable
from server import media_types
from server.api.auth import Caller
from server.api.batch_schemas import BatchList, BatchQuery, BatchStatus, path_of, status_of
from server.api.batch_uploads import BATCH_BODY, format_of, receive_rows
from server.api.dependencies import ActorDep, AuthenticatedRoute, CallerDep, ServicesDep, bearer
from server.api.growing_file import GrowingFileResponse
from server.api.problem_responses import responses
from server.api.services import Services
from server.batch_files.records import BatchFile, BatchRequest
from server.batch_files.removal import remove_batch
from server.errors import RoleRequired
from server.job_ids import new_id

router = APIRouter(
    prefix="/v1/batches",
    route_class=AuthenticatedRoute,
    tags=["batches"],
    dependencies=[Depends(bearer)],
    responses=responses(401, 403, 404, 422, 503),
)


@router.post(
    "",
    summary="Answer all rows of a file at low priority",
    status_code=202,
    responses=responses(400, 413, 429, 500),
    openapi_extra=BATCH_BODY,
)
async def add_batch(  # noqa: PLR0917 - FastAPI passes all by name
    request: Request,
    response: Response,
    services: ServicesDep,
    caller: CallerDep,
    actor: ActorDep,
    query: Annotated[BatchQuery, Query()],
) -> BatchStatus:
    """Queue a file. Poll `links.self` of the response for its progress.

    The body is the file. Each row is one input of POST /v1/predict, and may have an `id`, which its
    result repeats.
    """
    tenant = _owner(caller)
    kind = format_of(request)
    await services.read(partial(services.batches.check_room, tenant))
    batch_id = new_id()
    folder = services.batch_folders.of(batch_id)
    options = query.model_dump(exclude_unset=True, exclude={"model"})
    added = BatchRequest(tenant, query.model, options, kind, caller.key_id)
    is_queued = False
    try:
        with services.uploads.take(tenant):
            num_bytes = await receive_rows(request, services, folder, kind)
            await services.write(folder.hand_over)
        batch = await services.write(
            partial(services.batches.add, batch_id, added, num_bytes, by=actor)
        )
        is_queued = True
    finally:
        if not is_queued:
            await services.write(folder.remove)
    response.headers["Location"] = path_of(batch)
    return status_of(batch)


@router.get("", summary="List batch files, newest first")
async def list_batches(
    services: ServicesDep,
    caller: CallerDep,
    before: Annotated[str | None, Query(max_length=32, pattern=r"^[0-9a-f]*$")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> BatchList:
    """List one page of the caller's batch files; operators see those of all tenants."""
    found = await services.read(
        partial(services.batches.list, caller.tenant, before=before, limit=limit)
    )
    is_last = len(found) < limit
    return BatchList(
        batches=[status_of(batch) for batch in found],
        next=None if is_last else f"/v1/batches?limit={limit}&before={found[-1].id}",
    )


@router.get("/{batch}", summary="Show a batch file: its state and progress")
async def show_batch(batch: str, services: ServicesDep, caller: CallerDep) -> BatchStatus:
    """Show one batch file."""
    return status_of(await _find(services, caller, batch))


@router.get(
    "/{batch}/results",
    summary="Download the results of a batch file",
    response_class=Response,
    responses={
        200: {"content": {media_types.JSONL: {}}, "description": "One result in each line."},
        **responses(416),
    },
)
async def read_results(batch: str, services: ServicesDep, caller: CallerDep) -> Response:
    """Return the results in the order of the rows, as far as the file is answered.

    What was downloaded never changes: `Range: bytes=N-` continues a download after N bytes.
    """
    found = await _find(services, caller, batch)
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="{found.id}.jsonl"',
    }
    num_bytes = found.checkpoint.result_bytes
    if not num_bytes:
        return Response(b"", media_type=media_types.JSONL, headers=headers)
    path = await services.read(partial(services.batch_folders.results, found.id, num_bytes))
    try:
        file = path.open("rb")
    except OSError as error:
        raise StoreUnavailable(f"Could not read {path}: {error}") from error
    return GrowingFileResponse(
        file, headers=headers, media_type=media_types.JSONL, num_bytes=num_bytes
    )


@router.post("/{batch}/cancel", summary="Cancel a batch file")
async def cancel_batch(
    batch: str, services: ServicesDep, caller: CallerDep, actor: ActorDep
) -> BatchStatus:
    """Cancel a queued file at once, a running one within seconds. The results so far stay."""
    found = await services.write(partial(services.batches.cancel, caller.tenant, batch, by=actor))
    if found.is_finished:
        await services.write(services.batch_folders.of(found.id).tidy)
    return status_of(found)


@router.delete("/{batch}", summary="Delete a batch file", status_code=204, responses=responses(409))
async def delete_batch(
    batch: str, services: ServicesDep, caller: CallerDep, actor: ActorDep
) -> None:
    """Delete a queued or finished file and its results permanently."""
    remove = partial(
        remove_batch,
        services.batches,
        services.batch_folders,
        batch,
        tenant=caller.tenant,
        by=actor,
    )
    await services.write(remove)


def _owner(caller: Caller) -> str:
    """Return the tenant that a new file belongs to.

    Raises:
        RoleRequired: when the caller is an operator, who belongs to no tenant.
    """
    if caller.tenant is None:
        raise RoleRequired(
            "A batch belongs to a tenant, and the key of an operator to none. Use a key of the "
            "tenant."
        )
    return caller.tenant


async def _find(services: Services, caller: Caller, batch: str) -> BatchFile:
    return await services.read(partial(services.batches.find, caller.tenant, batch))
