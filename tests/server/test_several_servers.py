"""Two server processes that share PostgreSQL and a store, which is a folder or a bucket."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from prefixes.backbone import Backbone
from tests.factories import make_prefix
from tests.postgresql import PostgresServer
from tests.seaweedfs import SeaweedServer, settings_of
from tests.server.batch_files.test_service import wait_for as wait_for_batch
from tests.server.hosting.processes import upload
from tests.server.rest import until
from tests.server.server_pairs import (
    NUM_ROWS,
    ServerPair,
    SuspendedWorkers,
    add_batch,
    server_pair,
    wait_for_progress,
)
from tests.server.training_jobs.trainings import (
    LONG,
    QUICK,
    SECONDS,
    start_training,
    wait_for,
    worker_of,
)
from tests.training.learnable_tasks import sentiment_rows, write_csv

CONFIG: Final = {**QUICK, "epochs": 20}


@pytest.fixture(params=["folder", "bucket"])
def pair(
    request: pytest.FixtureRequest,
    postgresql: PostgresServer,
    tmp_path: Path,
    backbone: Backbone,
    backbone_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[ServerPair]:
    name = postgresql.create_database()
    url = postgresql.url(name)
    monkeypatch.setenv("POLYPREFIX_DATABASE_URL", url)
    monkeypatch.setenv("POLYPREFIX_LEASE_SECONDS", "5")
    folders, bucket = (tmp_path / "shared", tmp_path / "shared"), None
    if request.param == "bucket":
        service: SeaweedServer = request.getfixturevalue("seaweedfs")
        folders, bucket = (tmp_path / "first", tmp_path / "second"), service.new_bucket()
        for variable, value in settings_of(bucket).items():
            monkeypatch.setenv(variable, value)
    with server_pair(folders, backbone, backbone_folder, database_url=url, bucket=bucket) as pair:
        yield pair
    postgresql.drop_database(name)


@pytest.fixture
def workers() -> Iterator[SuspendedWorkers]:
    suspended = SuspendedWorkers()
    yield suspended
    suspended.kill()


@pytest.fixture
def rows(tmp_path: Path) -> bytes:
    return write_csv(tmp_path / "rows.csv", sentiment_rows(60)).read_bytes()


def published(sender: httpx.Client) -> list[int]:
    task = sender.get("/v1/tenants/acme/prefixes/mood").json()
    return [version["version"] for version in task.get("versions", [])]


@pytest.mark.parametrize("pair", ["bucket"], indirect=True)
def test_a_prefix_that_is_uploaded_at_one_server_answers_at_another(
    pair: ServerPair, backbone: Backbone
) -> None:
    data = make_prefix(backbone.fingerprint, seed=2).to_bytes()
    with pair.server(pair.first) as (_, here), pair.server(pair.second) as (_, there):
        uploaded = upload(here, "tone", data)
        assert uploaded.status_code == 201, uploaded.text
        body = {"model": "acme/tone@2", "input": "fine"}
        answers = [sender.post("/v1/classify", json=body) for sender in (here, there)]
        assert [answer.status_code for answer in answers] == [200, 200], answers[1].text
        assert answers[0].json()["results"] == answers[1].json()["results"]
        assert there.get("/v1/tenants/acme/prefixes/tone/versions/2/file").content == data
    cached = [path.read_bytes() for path in (pair.second / "cache").iterdir()]
    assert cached == [data]


def test_another_server_completes_the_batch_file_of_a_killed_one(pair: ServerPair) -> None:
    pair.slow_batches_down()
    with pair.server(pair.first) as (first, here):
        batch = add_batch(here)
        wait_for_progress(here, batch)
        with pair.server(pair.second) as (_, there):
            shown = wait_for_progress(there, batch)  # its start has not interrupted the first
            shown = wait_for_progress(there, batch, beyond=shown["num_done"])
            assert shown["state"] == "running", "the server must be killed before the end"
            seen = there.get(f"{batch}/results").content
            first.kill()
            first.wait()
            pair.speed_batches_up()
            assert wait_for_batch(there, batch)["num_failed"] == 0
            results = there.get(f"{batch}/results").content
            assert seen
            assert results.startswith(seen)
            ids = [json.loads(line)["id"] for line in results.splitlines()]
            assert ids == list(range(NUM_ROWS))
            metrics = there.get("/metrics").text
            assert 'polyprefix_jobs_taken_over_total{kind="batches"} 1.0' in metrics


def test_another_server_completes_the_training_of_a_killed_one(
    pair: ServerPair, rows: bytes, workers: SuspendedWorkers
) -> None:
    with pair.server(pair.first) as (first, here):
        training = start_training(here, rows, CONFIG).json()["links"]["self"]
        worker = workers.suspend(training)
        with pair.server(pair.second) as (_, there):
            assert there.get(training).json()["state"] == "running"
            first.kill()
            first.wait()
            workers.resume(worker)  # it notices that its server is gone, and stops
            result = wait_for(there, training, "succeeded")["result"]
            assert (result["version"], result["is_promoted"]) == (1, True)
            assert published(there) == [1]
            assert there.get(f"{training}/report").json()
            metrics = there.get("/metrics").text
            assert 'polyprefix_jobs_taken_over_total{kind="trainings"} 1.0' in metrics


@pytest.mark.parametrize("pair", ["folder"], indirect=True)
def test_another_server_completes_the_training_of_one_that_hangs(
    pair: ServerPair, rows: bytes, workers: SuspendedWorkers
) -> None:
    with pair.server(pair.first) as (first, here):
        training = start_training(here, rows, CONFIG).json()["links"]["self"]
        worker = workers.suspend(training)
        with pair.server(pair.second) as (_, there):
            first.send_signal(signal.SIGSTOP)
            try:
                result = wait_for(there, training, "succeeded")["result"]
            finally:
                first.send_signal(signal.SIGCONT)
            workers.resume(worker)
            assert (result["version"], result["is_promoted"]) == (1, True)
            # The first server notices that it has lost its lease, and stops its worker.
            lost = "polyprefix_leases_lost_total 1.0"
            until(lambda: lost in here.get("/metrics").text, seconds=SECONDS)
            until(lambda: worker_of(training) is None, seconds=SECONDS)
            assert published(there) == [1]
            until(lambda: published(here) == [1])
            assert there.get(f"{training}/report").json()
            metrics = there.get("/metrics").text
            assert 'polyprefix_jobs_taken_over_total{kind="trainings"} 1.0' in metrics


@pytest.mark.parametrize("pair", ["folder"], indirect=True)
def test_any_server_cancels_what_another_one_runs(
    pair: ServerPair, rows: bytes, workers: SuspendedWorkers
) -> None:
    pair.slow_batches_down()
    with pair.server(pair.first) as (_, here):
        batch = add_batch(here)
        training = start_training(here, rows, LONG).json()["links"]["self"]
        worker = workers.suspend(training)
        wait_for_progress(here, batch)
        with pair.server(pair.second) as (_, there):
            assert there.post(f"{batch}/cancel").json()["is_cancelling"]
            assert there.post(f"{training}/cancel").json()["is_cancelling"]
            workers.resume(worker)
            cancelled = wait_for_batch(here, batch, state="cancelled")
            results = there.get(f"{batch}/results").content
            assert results.count(b"\n") == cancelled["num_done"] < NUM_ROWS
            wait_for(there, training, "cancelled")
            assert worker_of(training) is None
