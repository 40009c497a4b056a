"""Replicas on a real Ray cluster that share PostgreSQL and a bucket."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from prefixes.backbone import Backbone
from tests.factories import make_prefix
from tests.postgresql import PostgresServer
from tests.seaweedfs import SeaweedServer, settings_of
from tests.server.hosting.processes import upload
from tests.server.hosting.ray.cluster import RayServer, ask, running_server, why_not
from tests.server.rest import new_registry

WHY_NOT = why_not()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))

STATE = "Polyprefix-Registry-State"


@pytest.fixture
def server(
    postgresql: PostgresServer,
    seaweedfs: SeaweedServer,
    tmp_path: Path,
    backbone_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[RayServer]:
    name = postgresql.create_database()
    registry, keys = new_registry(tmp_path / "elsewhere", postgresql.url(name))
    registry.close()
    monkeypatch.setenv("POLYPREFIX_DATABASE_URL", postgresql.url(name))
    for variable, value in settings_of(seaweedfs.new_bucket()).items():
        monkeypatch.setenv(variable, value)
    flags = ("--store-folder", str(tmp_path / "store"), "--backbone", str(backbone_folder))
    with running_server(keys, *flags, ports=(postgresql.port, seaweedfs.port)) as running:
        yield running
    postgresql.drop_database(name)


def _answered_by(server: RayServer, task: str, state: str) -> list[str]:
    """The version that answers, by each of several connections: they reach both ingresses."""
    versions = []
    for _ in range(8):
        with server.client() as client:
            client.headers[STATE] = state
            answer = ask(client, task)
        assert answer.status_code == 200, answer.text
        versions.append(answer.json()["results"][0]["model"])
    return versions


def _publish(client: httpx.Client, task: str, data: bytes) -> str:
    """Upload a version, make it live, and return the state of the registry that has it."""
    uploaded = upload(client, task, data)
    assert uploaded.status_code == 201, uploaded.text
    version = uploaded.json()["version"]
    path = f"/v1/tenants/acme/prefixes/{task}/aliases/live"
    moved = client.put(path, json={"version": version})
    assert moved.is_success, moved.text
    state: str = moved.headers[STATE]
    return state


def test_every_replica_answers_with_the_version_that_was_promoted(
    server: RayServer, backbone: Backbone
) -> None:
    with server.client() as client:
        for number in (1, 2, 3):
            data = make_prefix(backbone.fingerprint, seed=number).to_bytes()
            state = _publish(client, "tone", data)
            assert set(_answered_by(server, "acme/tone", state)) == {f"acme/tone@{number}"}

        os.kill(server.replicas("engine")[0], signal.SIGKILL)
        assert set(_answered_by(server, "acme/tone", state)) == {"acme/tone@3"}
        found = client.get("/v1/tenants/acme/prefixes/tone/versions/3/file")
    assert found.content == data
