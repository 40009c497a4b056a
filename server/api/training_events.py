"""The server-sent events of a training."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Final

from prefixes.errors import DatabaseUnreachable
from server.api.auth import is_accepted
from server.api.services import Services
from server.api.training_schemas import TrainingStatus, status_of
from server.errors import ServingError
from server.training_jobs.folders import StoredEvent, TrainingFolder
from server.training_jobs.records import TrainingJob

_EVENT_ID: Final = re.compile(r"[0-9]{1,15}", re.ASCII)
"""A byte of the file of events; Python refuses to read thousands of digits as a number."""
_POLL_SECONDS: Final = 0.5
_SECONDS_BETWEEN_COMMENTS: Final = 15.0


def start_after(last_event_id: str | None) -> int:
    """Return where to continue after an event; the beginning if its id is not valid."""
    given = last_event_id or ""
    return int(given) if _EVENT_ID.fullmatch(given) else 0


def view(services: Services, training: TrainingJob) -> TrainingFolder:
    """Return the folder of a training to show it, whichever server runs it."""
    return services.training_folders.view(training.id, is_final=training.is_finished)


def describe(services: Services, training: TrainingJob) -> TrainingStatus:
    """Describe a training, with the files that its workers have written so far."""
    folder = view(services, training)
    return status_of(
        training,
        folder.last_progress(),
        data_summary=folder.data_summary(),
        warnings=folder.warnings(),
    )


async def stream_events(
    services: Services, training: TrainingJob, start: int, *, authorization: str | None
) -> AsyncIterator[str]:
    """Stream events until the training has finished, the server stops, or the key is not valid.

    While the server of the database is away, the stream stays open without events.
    """
    shown: TrainingJob | None = None
    silent = 0.0
    while True:
        text, has_more = "", False
        with suppress(DatabaseUnreachable):
            if not await is_accepted(authorization, services.keys):
                return
            # Read before the events: all events of a finished training are in its file.
            training = await services.read(
                partial(services.trainings.find, training.request.tenant, training.id)
            )
            for stored in await services.read(partial(_events, services, training, start)):
                start = stored.end
                text += _message(stored.event.kind, json.dumps(stored.event.members), start)
            # One read does not return all events of a large file.
            has_more = training.is_finished and text != ""
            if training != shown and not has_more:
                status = await services.read(partial(describe, services, training))
                text += _message("state", status.model_dump_json(), start)
                shown = training
        silent = 0.0 if text else silent + _POLL_SECONDS
        if silent >= _SECONDS_BETWEEN_COMMENTS:
            silent, text = 0.0, ": keep-alive\n\n"
        if text:
            yield text
        if has_more:
            continue
        if (training.is_finished and training == shown) or await _is_stopping(services):
            return
        if await services.shutdown.wait(_POLL_SECONDS):
            return


def _events(services: Services, training: TrainingJob, start: int) -> list[StoredEvent]:
    return view(services, training).events(start)


async def _is_stopping(services: Services) -> bool:
    try:
        return await services.engine.find_problem() is not None
    except ServingError:
        return True


def _message(kind: str, data: str, number: int) -> str:
    return f"event: {kind}\nid: {number}\ndata: {data}\n\n"
