"""Trainings under /v1/tenants/{tenant}/trainings: start, list, follow and cancel them."""

from functools import partial
from pathlib import Path as FilePath
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from server import media_types
from server.api.dependencies import ActorDep, AuthenticatedRoute, ServicesDep, bearer
from server.api.disconnection import while_connected
from server.api.file_responses import OpenFileResponse
from server.api.problem_responses import responses
from server.api.services import Services
from server.api.training_events import describe, start_after, stream_events, view
from server.api.training_feedback import add_feedback
from server.api.training_forms import TRAINING_FORM, receive_training
from server.api.training_queue import queue_training
from server.api.training_schemas import (
    CheckedTraining,
    TrainingList,
    TrainingStatus,
    checked_training,
    path_of,
    status_of,
)
from server.errors import NothingToShow
from server.job_ids import new_id
from server.training_jobs.folders import TrainingFolder
from server.training_jobs.records import JobRequest, TrainingJob

router = APIRouter(
    prefix="/v1/tenants/{tenant}/trainings",
    route_class=AuthenticatedRoute,
    tags=["trainings"],
    dependencies=[Depends(bearer)],
    responses=responses(401, 403, 404, 422, 503),
)


@router.post(
    "",
    summary="Train a prefix on labeled rows, publish it, and promote it if it is better",
    status_code=202,
    responses={
        200: {"model": CheckedTraining, "description": "The rows were checked in a dry run."},
        **responses(400, 413, 429, 500, 504),
    },
    openapi_extra=TRAINING_FORM.openapi(),
)
async def start_training(  # noqa: PLR0917 - FastAPI passes all by name
    tenant: str,
    request: Request,
    response: Response,
    services: ServicesDep,
    actor: ActorDep,
    dry_run: Annotated[bool, Query(description="Check the rows, and train nothing.")] = False,  # noqa: FBT002 - as FastAPI passes it
) -> TrainingStatus | CheckedTraining:
    """Queue a training. Poll `links.self` of the response for its state.

    The rows are checked when it runs; `error` then lists each problem with its line. With
    `dry_run`, the rows are checked at once, and nothing is queued or stored.
    """
    if dry_run:
        response.status_code = 200
        return await _check_rows(tenant, request, services)

    async def fill(folder: TrainingFolder) -> JobRequest:
        with services.uploads.take(tenant):
            form = await receive_training(request, tenant, folder)
            await services.read(partial(add_feedback, services, form, folder))
        return form.job

    training = await queue_training(services, tenant, fill, by=actor)
    response.headers["Location"] = path_of(training)
    return status_of(training)


@router.get("", summary="List a tenant's trainings, newest first")
async def list_trainings(
    tenant: str,
    services: ServicesDep,
    before: Annotated[str | None, Query(max_length=32, pattern=r"^[0-9a-f]*$")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> TrainingList:
    """List one page of trainings. `next` is the path of the next page."""
    found = await services.read(
        partial(services.trainings.list, tenant, before=before, limit=limit)
    )
    described = await services.read(lambda: [describe(services, one) for one in found])
    path = f"/v1/tenants/{tenant}/trainings"
    is_last = len(found) < limit
    return TrainingList(
        trainings=described,
        next=None if is_last else f"{path}?limit={limit}&before={found[-1].id}",
    )


@router.get("/{training}", summary="Show a training: its state, progress and result")
async def show_training(tenant: str, training: str, services: ServicesDep) -> TrainingStatus:
    """Show one training: `result` once it has succeeded, `error` once it has failed."""
    found = await _find(services, tenant, training)
    return await services.read(partial(describe, services, found))


@router.get(
    "/{training}/events",
    summary="Follow a training: server-sent events until it has finished",
    response_class=Response,
    responses={200: {"content": {media_types.EVENTS: {}}, "description": "A stream of events."}},
)
async def follow_training(
    tenant: str,
    training: str,
    request: Request,
    services: ServicesDep,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Stream events: `progress` and `evaluation` report the training's progress, `data_summary` how
    the rows were read, `warnings` the warnings about them. `state` is the whole training.

    With `Last-Event-ID`, the stream continues after that event. The stream ends when the server
    stops, and when the key is revoked, expires, or its tenant is suspended or deleted.
    """
    found = await _find(services, tenant, training)
    header = request.state.authorization
    return StreamingResponse(
        stream_events(services, found, start_after(last_event_id), authorization=header),
        media_type=media_types.EVENTS,
        headers={"Cache-Control": "no-store"},
    )


@router.post("/{training}/cancel", summary="Cancel a training")
async def cancel_training(
    tenant: str, training: str, services: ServicesDep, actor: ActorDep
) -> TrainingStatus:
    """Cancel a queued training at once, a running one within seconds; a finished one stays."""
    found = await services.write(partial(services.trainings.cancel, tenant, training, by=actor))
    if found.is_finished:
        await services.write(services.training_folders.of(found.id).tidy)
    return await services.read(partial(describe, services, found))


@router.get(
    "/{training}/report",
    summary="Read a training's report",
    response_class=Response,
    responses={200: {"content": {media_types.JSON: {}}, "description": "report.json"}},
)
async def read_report(tenant: str, training: str, services: ServicesDep) -> OpenFileResponse:
    """Return the settings, figures, history and confusion matrix of a training."""
    found = await _find(services, tenant, training)
    folder = await services.read(partial(view, services, found))
    return _file(folder.report, media_types.JSON)


@router.get(
    "/{training}/curve.png",
    summary="Show the curves of a training",
    response_class=Response,
    responses={200: {"content": {media_types.PNG: {}}, "description": "A picture."}},
)
async def see_curve(tenant: str, training: str, services: ServicesDep) -> OpenFileResponse:
    """Draw the losses and the metric over the steps."""
    found = await _find(services, tenant, training)
    folder = await services.read(partial(view, services, found))
    return _file(folder.curve, media_types.PNG)


async def _check_rows(tenant: str, request: Request, services: Services) -> CheckedTraining:
    folder = services.training_folders.of(new_id())
    try:
        with services.uploads.take(tenant):
            form = await receive_training(request, tenant, folder)
            await services.read(partial(add_feedback, services, form, folder))
            check = services.row_checker.check(folder, form.job, services.settings)
            return checked_training(await while_connected(request, check))
    finally:
        await services.write(folder.remove)


async def _find(services: Services, tenant: str, training: str) -> TrainingJob:
    return await services.read(partial(services.trainings.find, tenant, training))


def _file(path: FilePath, media_type: str) -> OpenFileResponse:
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise NothingToShow(
            "The training has not written this file yet. Wait until it has succeeded."
        ) from error
    return OpenFileResponse(file, media_type=media_type, headers={"Cache-Control": "no-store"})
