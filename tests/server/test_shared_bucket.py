"""Two server processes that share PostgreSQL and a bucket, and nothing else."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from prefixes.backbone import Backbone
from prefixes.registry import ApiKeys, open_registry
from tests.factories import make_prefix
from tests.postgresql import PostgresServer
from tests.seaweedfs import SeaweedServer, settings_of
from tests.server.hosting.processes import client, server_process, upload


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
