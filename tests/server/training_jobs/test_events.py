"""The stream of events, by itself."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from prefixes.errors import DatabaseUnreachable
from prefixes.registry.tables import now
from server.api import training_events
from server.api.training_events import stream_events
from server.shutdown import Shutdown
from server.training_jobs import folders
from server.training_jobs.folders import TrainingFolders
from server.training_jobs.records import JobRequest, TrainingJob

pytestmark = pytest.mark.anyio


ENDED = TrainingJob(
    id="1",
    request=JobRequest("acme", "mood", "live", 0.0, {}),
    state="cancelled",
    is_cancelling=False,
    num_crashes=0,
    created_at=now(),
    started_at=now(),
    ended_at=now(),
    problem=None,
    result=None,
)


def services_of(
    folder: Path, num_events: int, find: Callable[..., TrainingJob] = lambda *_: ENDED
) -> Any:
    """Return the part of a server that the stream uses, with a training and its events."""
    training_folders = TrainingFolders(folder)
    training = training_folders.of("1")
    training.make()
    lines = [
        json.dumps({"event": "progress", "number": number}) + "\n" for number in range(num_events)
    ]
    (training.path / "events.jsonl").write_text("".join(lines))

    async def read(call: Any) -> Any:
        return call()

    async def find_problem() -> None:
        return None

    return SimpleNamespace(
        read=read,
        keys=None,
        trainings=SimpleNamespace(find=find),
        training_folders=training_folders,
        engine=SimpleNamespace(find_problem=find_problem),
        shutdown=Shutdown(),
    )


async def test_a_stream_outlasts_an_outage_of_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_events, "_POLL_SECONDS", 0.01)
    answers: Iterator[TrainingJob | Exception] = iter(
        [DatabaseUnreachable("away"), DatabaseUnreachable("away"), ENDED, ENDED]
    )

    def find(*_: object) -> TrainingJob:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    services = services_of(tmp_path, 1, find)
    running = replace(ENDED, state="running", ended_at=None)
    stream = stream_events(services, running, 0, authorization=None)
    kinds = [part.partition("\n")[0] async for part in stream]
    assert kinds == ["event: progress", "event: state"]


async def test_all_events_of_a_finished_training_are_streamed_in_any_number_of_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "_MAX_READ_BYTES", 100)
    services = services_of(tmp_path, 20)
    text = "".join([part async for part in stream_events(services, ENDED, 0, authorization=None)])
    told = [line for line in text.splitlines() if line.startswith("data: ")]
    assert [json.loads(line[6:]).get("number") for line in told] == [*range(20), None]
    assert '"state":"cancelled"' in told[-1]
