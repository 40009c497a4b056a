"""Two server processes that share PostgreSQL and a bucket, and nothing else."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from prefixes.backbone import Backbone
from prefixes.registry import ApiKeys, open_registry
from tests.factories import make_prefix
from tests.postgresql import PostgresServer
from tests.seaweedfs import SeaweedServer, settings_of
from tests.server.batch_files.test_service import wait_for as wait_for_batch
from tests.server.hosting.processes import client, server_process, upload
from tests.server.test_several_servers import (
    NUM_ROWS,
    SOME_SECONDS,
    add_batch,
    wait_for_progress,
)
from tests.server.training_jobs.trainings import start_training, wait_for
from tests.training.learnable_tasks import sentiment_rows, write_csv


@dataclass(frozen=True)
class Place:
    """A folder for each server, a key of acme, and the flags of each server."""

    first: Path
    second: Path
    key: str
    flags: tuple[str, ...]


@pytest.fixture
def place(
    postgresql: PostgresServer,
    seaweedfs: SeaweedServer,
    tmp_path: Path,
    backbone_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Place]:
    name = postgresql.create_database()
    url, bucket = postgresql.url(name), seaweedfs.new_bucket()
    monkeypatch.setenv("POLYPREFIX_DATABASE_URL", url)
    monkeypatch.setenv("POLYPREFIX_LEASE_SECONDS", "10")
    monkeypatch.setenv("POLYPREFIX_MAX_INPUTS_PER_REQUEST", "2")  # batches take some seconds
    for variable, value in settings_of(bucket).items():
        monkeypatch.setenv(variable, value)
    registry = open_registry(tmp_path / "elsewhere", database_url=url, bucket=bucket)
    registry.ensure_tenant("acme")
    key = ApiKeys(registry.database).issue("acme", "test").key
    registry.close()
    flags = ("--backbone", str(backbone_folder))
    yield Place(tmp_path / "first", tmp_path / "second", key, flags)
    postgresql.drop_database(name)


def test_a_prefix_that_is_uploaded_at_one_server_answers_at_another(
    place: Place, backbone: Backbone
) -> None:
    data = make_prefix(backbone.fingerprint, seed=1).to_bytes()
    with (
        server_process(place.first, *place.flags) as (_, url),
        server_process(place.second, *place.flags) as (_, other),
        client(url, place.key) as here,
        client(other, place.key) as there,
    ):
        uploaded = upload(here, "tone", data)
        assert uploaded.status_code == 201, uploaded.text
        body = {"model": "acme/tone", "input": "fine"}
        answers = [sender.post("/v1/classify", json=body) for sender in (here, there)]
        assert [answer.status_code for answer in answers] == [200, 200], answers[1].text
        assert answers[0].json()["results"] == answers[1].json()["results"]
        assert there.get("/v1/tenants/acme/prefixes/tone/versions/1/file").content == data
    cached = list((place.second / "cache").iterdir())
    assert [path.read_bytes() for path in cached] == [data]


def test_another_server_completes_and_shows_the_batch_file_of_a_killed_one(
    place: Place, backbone: Backbone
) -> None:
    with server_process(place.first, *place.flags) as (first, url), client(url, place.key) as here:
        uploaded = upload(here, "tone", make_prefix(backbone.fingerprint, seed=1).to_bytes())
        assert uploaded.status_code == 201, uploaded.text
        batch = add_batch(here, NUM_ROWS)
        wait_for_progress(here, batch)
        with (
            server_process(place.second, *place.flags) as (_, other),
            client(other, place.key) as there,
        ):
            shown = wait_for_progress(there, batch)
            wait_for_progress(there, batch, beyond=shown["num_done"])
            seen = there.get(f"{batch}/results").content
            first.kill()
            first.wait()
            assert wait_for_batch(there, batch)["num_failed"] == 0
            results = there.get(f"{batch}/results").content
            assert seen
            assert results.startswith(seen)
            assert [json.loads(line)["id"] for line in results.splitlines()] == list(
                range(NUM_ROWS)
            )
            metrics = there.get("/metrics").text
            assert 'polyprefix_jobs_taken_over_total{kind="batches"} 1.0' in metrics


def test_another_server_completes_and_shows_the_training_of_a_killed_one(
    place: Place, tmp_path: Path
) -> None:
    rows = write_csv(tmp_path / "rows.csv", sentiment_rows(60)).read_bytes()
    with server_process(place.first, *place.flags) as (first, url), client(url, place.key) as here:
        training = start_training(here, rows, SOME_SECONDS).json()["links"]["self"]
        wait_for(here, training, "running")
        with (
            server_process(place.second, *place.flags) as (_, other),
            client(other, place.key) as there,
        ):
            wait_for(there, training, "running")
            first.kill()
            first.wait()
            assert wait_for(there, training, "succeeded")["result"]["version"] == 1
            assert there.get(f"{training}/report").json()
            metrics = there.get("/metrics").text
            assert 'polyprefix_jobs_taken_over_total{kind="trainings"} 1.0' in metrics
