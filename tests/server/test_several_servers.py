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
from tests.server.training_jobs.trainings import QUICK

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


def add_batch(sender: httpx.Client, num_rows: int) -> str:
    rows = [{"id": number, "text": f"good {number}"} for number in range(num_rows)]
    added = sender.post(ROUTE, params={"model": "tone"}, content=lines_of(rows), headers=JSONL)
    path: str = added.json()["links"]["self"]
    return path


def wait_for_progress(sender: httpx.Client, path: str, *, beyond: int = 0) -> dict[str, Any]:
    deadline = time.monotonic() + 600
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
