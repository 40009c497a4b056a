"""Dry runs of trainings: what they report about rows, and how their process ends."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from server.errors import DeadlineExceeded
from server.settings import Settings
from server.training_jobs import row_check
from server.training_jobs.folders import TrainingFolder
from server.training_jobs.records import JobRequest
from server.training_jobs.row_check import RowChecker
from tests.server.conftest import Serve
from tests.server.doubles import until
from tests.server.rest import Rest
from tests.training.learnable_tasks import sentiment_rows, write_csv
from training.service.protocol.messages import Failure, RowCheck
from training.service.row_check import check_rows

PATH = "/v1/tenants/acme/trainings?dry_run=true"
SLEEP = "import sys, time; open(sys.argv[1] + '/started', 'w'); time.sleep(600)"
REQUEST = JobRequest("acme", "mood", "live", 0.0, {})


@pytest.fixture
def folder(tmp_path: Path) -> TrainingFolder:
    made = TrainingFolder(tmp_path / "rows")
    made.path.mkdir()
    return made


def run_script(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let checks run a script in the place of the real process."""
    monkeypatch.setattr(row_check, "CHECK_COMMAND", (sys.executable, "-c", script))


def check(rest: Rest, rows: bytes, tenant: str = "acme", **config: Any) -> Any:
    form = {"task": "mood", "config": json.dumps(config)}
    return rest.call("POST", PATH, tenant, files={"file": ("rows.csv", rows)}, data=form)


def test_a_dry_run_counts_the_labels_and_stores_nothing(serve: Serve, tmp_path: Path) -> None:
    rest, _ = serve()
    rows = write_csv(tmp_path / "rows.csv", sentiment_rows(60)).read_bytes()
    before = rest.files()
    with rest.client("acme") as client:
        client.timeout = 300
        files = {"file": ("rows.csv", rows)}
        checked = client.post(PATH, files=files, data={"task": "mood"})
    assert checked.status_code == 200, checked.text
    body = checked.json()
    assert body["error"] is None
    assert (body["task_type"], body["method"]) == ("sequence_classification", "vectors")
    train, validation = body["parts"]
    assert (train["name"], validation["name"]) == ("train", "validation")
    assert train["num_rows"] + validation["num_rows"] == 60
    assert [one["label"] for one in train["labels"]] == ["bad", "good"]
    assert sum(one["num_rows"] for one in train["labels"]) == train["num_rows"]
    assert any("repeat an earlier one" in warning for warning in body["warnings"])
    assert rest.files() == before
    assert rest.call("GET", "/v1/tenants/acme/trainings", "acme").json()["trainings"] == []


def test_a_dry_run_that_is_not_a_valid_form_is_rejected_and_leaves_nothing(serve: Serve) -> None:
    rest, _ = serve()
    before = rest.files()
    assert check(rest, b"text,label\na,b\n", learning_rat=1).status_code == 422
    assert check(rest, b"").json()["code"] == "bad_upload"
    assert check(rest, b"text,label\na,b\n", tenant="zoo").status_code == 404
    assert rest.files() == before


def test_names_of_labels_need_no_check_of_rows(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest, _ = serve()
    run_script(monkeypatch, "raise SystemExit(1)")
    form = {"task": (None, "mood"), "config": (None, '{"labels": ["good", "bad"]}')}
    checked = rest.call("POST", PATH, "acme", files=form).json()
    assert (checked["method"], checked["parts"], checked["error"]) == ("few_shot", [], None)


def plan_of(folder: Path, monkeypatch: pytest.MonkeyPatch, rows: str, **run: Any) -> dict[str, Any]:
    monkeypatch.chdir(folder)
    (folder / "train.csv").write_text(rows, encoding="utf-8")
    return {"runs": [{"task": "acme/mood", "train": "train.csv", **run}], "backbone": "minilm"}


def test_each_row_that_a_training_would_reject_is_named_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "text,label\ngood,yes\nno label,\nbad,no\n ,no\n"
    found = check_rows(plan_of(tmp_path, monkeypatch, rows))
    assert isinstance(found, Failure)
    assert found.code == "data_rejected"
    assert sorted(one.field for one in found.errors) == ["train, line 3", "train, line 5"]


def test_settings_that_do_not_fit_the_rows_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "text,label\n" + "".join(f"text {n},{n % 3}\n" for n in range(90))
    found = check_rows(plan_of(tmp_path, monkeypatch, rows, select_by="f1"))
    assert isinstance(found, Failure)
    assert found.code == "config_rejected"


def test_few_rows_lead_to_a_head_without_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "text,label\ngood film,yes\nbad film,no\n"
    found = check_rows(plan_of(tmp_path, monkeypatch, rows))
    assert isinstance(found, RowCheck)
    assert found.method == "few_shot"
    assert [(part.name, part.num_rows) for part in found.parts] == [("train", 2)]


@pytest.mark.anyio
async def test_a_process_that_crashes_is_reported(
    folder: TrainingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_script(monkeypatch, "import os; os.kill(os.getpid(), 9)")
    (folder.path / "train.csv").touch()
    found = await RowChecker().check(folder, REQUEST, Settings())
    assert isinstance(found, Failure)
    assert "exit code -9 because it needed too much memory or time" in found.detail


@pytest.mark.anyio
async def test_a_check_that_takes_too_long_is_killed(
    folder: TrainingFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_script(monkeypatch, SLEEP)
    (folder.path / "train.csv").touch()
    with pytest.raises(DeadlineExceeded, match=r"not checked within 0\.2 seconds"):
        await RowChecker().check(folder, REQUEST, Settings(), max_seconds=0.2)


@pytest.mark.anyio
async def test_at_most_two_files_are_checked_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_script(monkeypatch, SLEEP)
    checker = RowChecker()
    folders = [TrainingFolder(tmp_path / str(number)) for number in range(3)]
    for folder in folders:
        folder.path.mkdir()
        (folder.path / "train.csv").touch()
    checks = [asyncio.create_task(checker.check(one, REQUEST, Settings())) for one in folders]
    started = [one.path / "started" for one in folders]
    try:
        await until(lambda: sum(path.exists() for path in started) == 2)
        (waiting,) = (number for number in range(3) if not started[number].exists())
        checks[waiting - 1].cancel()  # its process is killed, and the next one starts
        await until(started[waiting].exists)
    finally:
        for one in checks:
            one.cancel()
        await asyncio.gather(*checks, return_exceptions=True)


def test_unlabeled_rows_are_counted_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "text,label\n" + "".join(f"text {n},{n % 2}\n" for n in range(40))
    taught = {"teacher": "full", "unlabeled": "unlabeled.jsonl"}
    plan = plan_of(tmp_path, monkeypatch, rows, **taught)
    more = tmp_path / "unlabeled.jsonl"
    more.write_text('{"text": "a film"}\n{"text": "a river"}\n', encoding="utf-8")
    found = check_rows(plan)
    assert isinstance(found, RowCheck)
    assert found.method == "vectors"
    assert found.parts[-1].model_dump() == {"name": "unlabeled", "num_rows": 2, "labels": []}
    assert "unlabeled: 2 rows of unlabeled.jsonl" in found.data_summary[-1]
    more.write_text('{"text": "a film"}\n{"text": " "}\n', encoding="utf-8")
    blank = check_rows(plan)
    assert isinstance(blank, Failure)
    assert [one.field for one in blank.errors] == ["unlabeled, line 2"]
