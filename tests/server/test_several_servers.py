"""Two server processes that share a PostgreSQL database and a store folder."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from prefixes.backbone import Backbone
from prefixes.registry import ApiKeys, open_registry
from tests.factories import make_prefix
from tests.postgresql import PostgresServer
from tests.server.batch_files.test_service import JSONL, ROUTE, lines_of
from tests.server.batch_files.test_service import wait_for as wait_for_batch
from tests.server.hosting.processes import client, server_process
from tests.server.rest import put
from tests.server.training_jobs.trainings import LONG, QUICK, start_training, wait_for, worker_of
from tests.training.learnable_tasks import sentiment_rows, write_csv

NUM_ROWS: Final = 4000
"""Rows of a batch file that runs for longer than a server takes to start."""
SOME_SECONDS: Final = {**QUICK, "epochs": 1000}
"""A training that runs for longer than a server takes to start."""


@dataclass(frozen=True)
class Place:
    """The store, a key of acme, and the flags of each server."""

    store: Path
    key: str
    flags: tuple[str, ...]


@pytest.fixture
def place(
    postgresql: PostgresServer,
    tmp_path: Path,
    backbone: Backbone,
    backbone_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Place]:
    name = postgresql.create_database()
    url = postgresql.url(name)
    monkeypatch.setenv("POLYPREFIX_DATABASE_URL", url)
    monkeypatch.setenv("POLYPREFIX_MAX_INPUTS_PER_REQUEST", "2")  # batches take some seconds
    registry = open_registry(tmp_path / "store", database_url=url)
    registry.ensure_tenant("acme")
    put(registry, "acme/tone", make_prefix(backbone.fingerprint, seed=1))
    key = ApiKeys(registry.database).issue("acme", "test").key
    registry.close()
    yield Place(tmp_path / "store", key, ("--backbone", str(backbone_folder)))
    postgresql.drop_database(name)


@pytest.fixture
def rows(tmp_path: Path) -> bytes:
    return write_csv(tmp_path / "rows.csv", sentiment_rows(60)).read_bytes()


def add_batch(sender: httpx.Client, num_rows: int) -> str:
    rows = [{"id": number, "text": f"good {number}"} for number in range(num_rows)]
    added = sender.post(ROUTE, params={"model": "tone"}, content=lines_of(rows), headers=JSONL)
    path: str = added.json()["links"]["self"]
    return path


def wait_for_progress(sender: httpx.Client, path: str, *, beyond: int = 0) -> dict[str, Any]:
    deadline = time.monotonic() + 120
    while (shown := sender.get(path).json())["num_done"] <= beyond:
        assert time.monotonic() < deadline, shown
        time.sleep(0.05)
    found: dict[str, Any] = shown
    return found


def test_another_server_completes_the_batch_file_of_a_killed_one(place: Place) -> None:
    with server_process(place.store, *place.flags) as (first, url), client(url, place.key) as here:
        batch = add_batch(here, NUM_ROWS)
        wait_for_progress(here, batch)
        with (
            server_process(place.store, *place.flags) as (_, other),
            client(other, place.key) as there,
        ):
            shown = wait_for_progress(there, batch)  # its start has not interrupted the first
            wait_for_progress(there, batch, beyond=shown["num_done"])
            seen = there.get(f"{batch}/results").content
            first.kill()
            first.wait()
            assert wait_for_batch(there, batch)["num_failed"] == 0
            results = there.get(f"{batch}/results").content
            assert results.startswith(seen)
            assert [json.loads(line)["id"] for line in results.splitlines()] == list(
                range(NUM_ROWS)
            )
            metrics = there.get("/metrics").text
            assert 'polyprefix_jobs_taken_over_total{kind="batches"} 1.0' in metrics


def test_another_server_completes_the_training_of_a_killed_one(place: Place, rows: bytes) -> None:
    with server_process(place.store, *place.flags) as (first, url), client(url, place.key) as here:
        training = start_training(here, rows, SOME_SECONDS).json()["links"]["self"]
        wait_for(here, training, "running")
        with (
            server_process(place.store, *place.flags) as (_, other),
            client(other, place.key) as there,
        ):
            wait_for(there, training, "running")
            first.kill()
            first.wait()
            result = wait_for(there, training, "succeeded")["result"]
            assert (result["version"], result["is_promoted"]) == (1, True)
            task = there.get("/v1/tenants/acme/prefixes/mood").json()
            assert [version["version"] for version in task["versions"]] == [1]
            metrics = there.get("/metrics").text
            assert 'polyprefix_jobs_taken_over_total{kind="trainings"} 1.0' in metrics


def test_any_server_cancels_what_another_one_runs(place: Place, rows: bytes) -> None:
    with server_process(place.store, *place.flags) as (_, url), client(url, place.key) as here:
        batch = add_batch(here, 200_000)
        training = start_training(here, rows, LONG).json()["links"]["self"]
        wait_for(here, training, "running")
        wait_for_progress(here, batch)
        with (
            server_process(place.store, *place.flags) as (_, other),
            client(other, place.key) as there,
        ):
            assert there.post(f"{batch}/cancel").json()["is_cancelling"]
            there.post(f"{training}/cancel")
            cancelled = wait_for_batch(here, batch, state="cancelled")
            results = there.get(f"{batch}/results").content
            assert results.count(b"\n") == cancelled["num_done"]
            wait_for(there, training, "cancelled")
            assert worker_of(training) is None
