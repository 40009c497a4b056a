"""Trainings with the client: a server process, a real worker, a tiny backbone."""

from pathlib import Path

import httpx
import pytest

from polyprefix_client import Client, ConnectionFailed, TrainingEvent, TrainingFailed
from polyprefix_client._sync import trainings as trainings_module
from polyprefix_client.events import EventParser
from tests.client.conftest import QUICK
from tests.server.hosting.processes import server_process, store
from tests.server.training_jobs.trainings import QUICK as QUICK_CONFIG
from tests.training.learnable_tasks import sentiment_rows, write_csv

__all__ = ["store"]


def test_a_file_becomes_a_live_task_while_its_progress_is_followed(
    store: tuple[Path, str], backbone_folder: Path, tmp_path: Path
) -> None:
    folder, key = store
    rows = write_csv(tmp_path / "rows.csv", sentiment_rows(60))
    with (
        server_process(folder, "--backbone", str(backbone_folder)) as (_, url),
        Client(url, key, timeout=300) as client,
    ):
        checked = client.trainings.check("acme/mood", rows, config=QUICK_CONFIG)
        assert (checked.task_type, checked.error) == ("sequence_classification", None)
        queued = client.trainings.start("acme/mood", rows, config=QUICK_CONFIG)
        assert (queued.name, queued.is_finished) == ("acme/mood", False)
        seen: list[TrainingEvent] = []
        ended = client.trainings.wait(queued, on_event=seen.append)
        assert ended.result is not None
        assert (ended.result.ref, ended.result.is_promoted) == ("acme/mood@1", True)
        assert client.classify("the film is good", model="mood").model == ended.result.ref
        steps = [one.progress.step for one in seen if one.progress]
        assert steps == sorted(steps)
        assert steps[-1] == ended.progress.total_steps  # type: ignore[union-attr]
        (summary,) = [one.sentences for one in seen if one.kind == "data_summary"]
        assert summary == ended.data_summary
        assert client.trainings.report("acme", ended.id)["num_parameters"]["trained"] > 0
        assert client.trainings.curve("acme", ended.id).startswith(b"\x89PNG")
        no_label = ("rows.csv", b"text,label\nx,\n")
        rejected = client.trainings.check("acme/mood", no_label).error
        assert rejected is not None
        assert (rejected.code, len(rejected.errors)) == ("data_rejected", 1)
        bad = client.trainings.start("acme/mood", no_label)
        with pytest.raises(TrainingFailed) as failed:
            client.trainings.wait(bad)
        assert failed.value.training.error is not None
        assert failed.value.training.error.code == "data_rejected"
        assert [one.id for one in client.trainings.list("acme")] == [bad.id, ended.id]
        assert client.trainings.cancel("acme", ended.id).state == "succeeded"


def test_a_prefix_learns_from_a_teacher_and_unlabeled_rows(
    store: tuple[Path, str], backbone_folder: Path, tmp_path: Path
) -> None:
    folder, key = store
    rows = write_csv(tmp_path / "rows.csv", sentiment_rows(60))
    more = write_csv(tmp_path / "more.csv", [{"text": f"the film {n} is late"} for n in range(20)])
    config = {**QUICK_CONFIG, "teacher": "full", "teacher_learning_rate": 2e-3}
    with (
        server_process(folder, "--backbone", str(backbone_folder)) as (_, url),
        Client(url, key, timeout=300) as client,
    ):
        queued = client.trainings.start("acme/mood", rows, unlabeled=more, config=config)
        seen: list[TrainingEvent] = []
        ended = client.trainings.wait(queued, on_event=seen.append)
        assert ended.progress is not None
        progress = [one.progress for one in seen if one.progress]
        phases = list(dict.fromkeys(one.phase for one in progress))
        assert (phases[0], phases[-1]) == ("teacher", "prefix")
        reached = ended.progress.teacher
        assert reached is not None
        assert reached > 0.9
        teacher = client.trainings.report("acme", ended.id)["teacher"]
        assert teacher["validation"]["accuracy"] == pytest.approx(reached)
        assert teacher["num_unlabeled_rows"] == 20
        assert ended.data_summary[-1].startswith("unlabeled: 20 rows of unlabeled.csv")
        left = {path.name for path in (folder / "trainings" / ended.id).rglob("*")}
        assert not {name for name in left if name.startswith("unlabeled") or len(name) > 60}


def test_a_broken_stream_of_events_continues_after_the_last_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trainings_module, "sleep", lambda _: None)
    asked: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("Last-Event-ID"))
        if len(asked) == 1:
            text = 'event: progress\nid: 7\ndata: {"step": 1, "total_steps": 2}\n\nevent: prog'
            return httpx.Response(200, text=text)
        raise httpx.ConnectError("refused")

    transport = httpx.MockTransport(answer)
    with Client("http://server", retries=QUICK, transport=transport) as client:
        events = client.trainings.events("acme", "abc")
        assert next(events).id == "7"
        with pytest.raises(ConnectionFailed, match="Follow it again later"):
            next(events)
    assert asked == [None, *["7"] * (QUICK.max_attempts - 1)]


def test_events_are_parsed_line_by_line() -> None:
    parser = EventParser()
    lines = ["event: state", "id: 3", ": comment", 'data: {"a":', "data: 1}", "", "", "id: 4", ""]
    (found,) = [one for line in lines if (one := parser.feed(line)) is not None]
    assert (found.kind, found.members, found.id) == ("state", {"a": 1}, "3")
    assert parser.headers() == {"Last-Event-ID": "4"}
