"""The stream of events, by itself."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from prefixes.registry.tables import now
from server.api.training_events import stream_events
from server.training_jobs import folders
from server.training_jobs.folders import TrainingFolders
from server.training_jobs.records import JobRequest, TrainingJob

pytestmark = pytest.mark.anyio


async def test_all_events_of_a_finished_training_are_streamed_in_any_number_of_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "_MAX_READ_BYTES", 100)
    request = JobRequest("acme", "mood", "live", 0.0, {})
    ended = TrainingJob(
        id="1",
        request=request,
        state="cancelled",
        is_cancelling=False,
        num_crashes=0,
        created_at=now(),
        started_at=now(),
        ended_at=now(),
        problem=None,
        result=None,
    )
    training_folders = TrainingFolders(tmp_path)
    folder = training_folders.of("1")
    folder.make()
    lines = [json.dumps({"event": "progress", "number": number}) + "\n" for number in range(20)]
    (folder.path / "events.jsonl").write_text("".join(lines))

    async def read(call: Any) -> Any:
        return call()

    services: Any = SimpleNamespace(
        read=read,
        keys=None,
        trainings=SimpleNamespace(find=lambda *_: ended),
        training_folders=training_folders,
    )
    text = "".join([part async for part in stream_events(services, ended, 0, authorization=None)])
    told = [line for line in text.splitlines() if line.startswith("data: ")]
    assert [json.loads(line[6:]).get("number") for line in told] == [*range(20), None]
    assert '"state":"cancelled"' in told[-1]
