"""Trainings under /v1/tenants/{tenant}/trainings: ask for one, list, follow, cancel, look at it."""

import json
import logging
import re
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path as FilePath
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from prefixes.errors import StoreUnavailable
from server import media_types
from server.api.auth import Caller
from server.api.dependencies import AuthenticatedRoute, CallerDep, ServicesDep, bearer
from server.api.file_responses import OpenFileResponse
from server.api.problem_responses import responses
from server.api.services import Services
from server.api.training_forms import FORM, receive_training
from server.api.training_schemas import TrainingList, TrainingStatus, path_of, status_of
from server.errors import KeyRequired, NothingToShow, ServingError, TrainingNotFound
from server.training_jobs.cleanup import remove_trainings
from server.training_jobs.records import TrainingJob
from server.training_jobs.store import new_id

router = APIRouter(
    prefix="/v1/tenants/{tenant}/trainings",
    route_class=AuthenticatedRoute,
    tags=["trainings"],
    dependencies=[Depends(bearer)],
    responses=responses(401, 404, 422, 503),
)

_log = logging.getLogger(__name__)

_EVENT_ID: Final = re.compile(r"[0-9]{1,15}", re.ASCII)
"""A byte of the file of events; Python refuses to read thousands of digits as a number."""
_POLL_SECONDS: Final = 0.5
_SECONDS_BETWEEN_COMMENTS: Final = 15.0


@router.post(
    "",
    summary="Train a prefix on labelled rows, publish it, and promote it if it is better",
    status_code=202,
    responses=responses(400, 413, 429),
    openapi_extra=FORM.openapi(),
)
async def ask_for_training(
    tenant: str, request: Request, response: Response, services: ServicesDep, caller: CallerDep
) -> TrainingStatus:
    """Queue a training: `links.self` of the answer tells how it goes on.

    Problems of the rows are found when it runs, and stand in its `error`, each with its line.
    """
    _require_owner(caller, tenant)
    await services.read(partial(services.trainings.check_room, tenant))
    training_id = new_id()
    folder = services.training_folders.of(training_id)
    is_queued = False
    try:
        with services.uploads.take(tenant):
            job_request = await receive_training(request, tenant, services.trainer, folder)
            training = await services.write(
                partial(services.trainings.add, training_id, job_request)
            )
        is_queued = True
    finally:
        if not is_queued:
            folder.remove()
    await services.write(partial(_forget_oldest, services, tenant))
    response.headers["Location"] = path_of(training)
    return status_of(training)


@router.get("", summary="List a tenant's trainings, the latest first")
async def list_trainings(
    tenant: str,
    services: ServicesDep,
    caller: CallerDep,
    before: Annotated[str | None, Query(max_length=32, pattern=r"^[0-9a-f]*$")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> TrainingList:
    """A page of them; `next` leads to the following one."""
    _require_owner(caller, tenant)
    found = await services.read(
        partial(services.trainings.list, tenant, before=before, limit=limit)
    )
    described = await services.read(lambda: [_described(services, one) for one in found])
    path = f"/v1/tenants/{tenant}/trainings"
    is_last = len(found) < limit
    return TrainingList(
        trainings=described,
        next=None if is_last else f"{path}?limit={limit}&before={found[-1].id}",
    )


@router.get("/{training}", summary="Show a training: its state, how far it is, what came of it")
async def show_training(
    tenant: str, training: str, services: ServicesDep, caller: CallerDep
) -> TrainingStatus:
    """`result` once it has succeeded, `error` once it has failed."""
    found = await _find(services, caller, tenant, training)
    return await services.read(partial(_described, services, found))


@router.get(
    "/{training}/events",
    summary="Follow a training: server-sent events until it has ended",
    response_class=Response,
    responses={200: {"content": {media_types.EVENTS: {}}, "description": "A stream of events."}},
)
async def follow_training(
    tenant: str,
    training: str,
    services: ServicesDep,
    caller: CallerDep,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Events `progress` and `evaluation` say how far it is, `data_summary` how the rows were read,
    `warnings` what is doubtful about them, `state` is the whole training.

    `Last-Event-ID` goes on behind that event. A server that is about to end ends the stream.
    """
    found = await _find(services, caller, tenant, training)
    given = last_event_id or ""
    start = int(given) if _EVENT_ID.fullmatch(given) else 0
    return StreamingResponse(
        _events(services, found, start),
        media_type=media_types.EVENTS,
        headers={"Cache-Control": "no-store"},
    )


@router.post("/{training}/cancel", summary="Cancel a training")
async def cancel_training(
    tenant: str, training: str, services: ServicesDep, caller: CallerDep
) -> TrainingStatus:
    """What waits is cancelled at once, what runs stops within seconds, what has ended stays so."""
    _require_owner(caller, tenant)
    found = await services.write(partial(services.trainings.cancel, tenant, training))
    if found.has_ended:
        await services.write(services.training_folders.of(found.id).tidy)
    return await services.read(partial(_described, services, found))


@router.get(
    "/{training}/report",
    summary="Read a training's report",
    response_class=Response,
    responses={200: {"content": {media_types.JSON: {}}, "description": "report.json"}},
)
async def read_report(
    tenant: str, training: str, services: ServicesDep, caller: CallerDep
) -> OpenFileResponse:
    """What it was given, went through and came to: figures, history, confusion."""
    found = await _find(services, caller, tenant, training)
    return _file(services.training_folders.of(found.id).report, media_types.JSON)


@router.get(
    "/{training}/curve.png",
    summary="See how a training went: its curves",
    response_class=Response,
    responses={200: {"content": {media_types.PNG: {}}, "description": "A picture."}},
)
async def see_curve(
    tenant: str, training: str, services: ServicesDep, caller: CallerDep
) -> OpenFileResponse:
    """Losses and the metric, by steps."""
    found = await _find(services, caller, tenant, training)
    return _file(services.training_folders.of(found.id).curve, media_types.PNG)


def _forget_oldest(services: Services, tenant: str) -> None:
    try:
        remove_trainings(
            services.trainings, services.training_folders, services.trainings.beyond_bound(tenant)
        )
    except StoreUnavailable as error:  # the new training is queued all the same
        _log.warning("old trainings of %s stay until the next one is queued: %s", tenant, error)


async def _find(services: Services, caller: Caller, tenant: str, training: str) -> TrainingJob:
    _require_owner(caller, tenant)
    return await services.read(partial(services.trainings.find, tenant, training))


def _require_owner(caller: Caller, tenant: str) -> None:
    """Let the tenant pass: also what a public tenant trains on is nobody else's business."""
    if caller.tenant is None:
        raise KeyRequired("Trainings need a key of the tenant")
    if caller.tenant != tenant:
        raise TrainingNotFound("There is no such training here, or it was removed: list them")


def _described(services: Services, training: TrainingJob) -> TrainingStatus:
    folder = services.training_folders.of(training.id)
    return status_of(
        training,
        folder.last_progress(),
        data_summary=folder.data_summary(),
        warnings=folder.warnings(),
    )


def _file(path: FilePath, media_type: str) -> OpenFileResponse:
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise NothingToShow(
            "The training has not written this yet: wait until it has succeeded"
        ) from error
    return OpenFileResponse(file, media_type=media_type, headers={"Cache-Control": "no-store"})


async def _events(services: Services, training: TrainingJob, start: int) -> AsyncIterator[str]:
    """Tell what is new until the training has ended, or the server is about to."""
    folder = services.training_folders.of(training.id)
    told: TrainingJob | None = None
    silent = 0.0
    while True:
        # Read before the events: when it has ended, all of them are there.
        training = await services.read(
            partial(services.trainings.find, training.request.tenant, training.id)
        )
        text = ""
        for event in await services.read(partial(folder.events, start)):
            start = event.end
            text += _message(event.kind, json.dumps(event.facts), start)
        if text and training.has_ended:
            yield text  # and perhaps more: one read does not take them all
            continue
        if training != told:
            told = training
            status = await services.read(partial(_described, services, training))
            text += _message("state", status.model_dump_json(), start)
        silent = 0.0 if text else silent + _POLL_SECONDS
        if silent >= _SECONDS_BETWEEN_COMMENTS:
            silent, text = 0.0, ": still there\n\n"
        if text:
            yield text
        if training.has_ended or await _is_ending(services):
            return
        if await services.shutdown.wait(_POLL_SECONDS):
            return


async def _is_ending(services: Services) -> bool:
    try:
        return await services.engine.find_problem() is not None
    except ServingError:
        return True


def _message(kind: str, data: str, number: int) -> str:
    return f"event: {kind}\nid: {number}\ndata: {data}\n\n"
