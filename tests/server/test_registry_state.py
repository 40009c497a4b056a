"""Registry states: a change is seen by the requests that follow it, at every server."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from prefixes.backbone import Backbone
from tests.factories import make_prefix
from tests.postgresql import PostgresServer
from tests.server.hosting.processes import client, server_process
from tests.server.rest import Rest, new_registry, put, serving
from tests.server.test_bad_requests import check_problem

STATE = "Polyprefix-Registry-State"
LIVE = "/v1/tenants/acme/prefixes/mood/aliases/live"


@pytest.fixture
def database_url(postgresql: PostgresServer) -> Iterator[str]:
    name = postgresql.create_database()
    yield postgresql.url(name)
    postgresql.drop_database(name)


@pytest.fixture
def rest(backbone: Backbone, tmp_path: Path, database_url: str) -> Iterator[Rest]:
    with serving(tmp_path / "store", backbone, database_url=database_url) as running:
        yield running


def classify(rest: Rest, **headers: str) -> httpx.Response:
    body = {"model": "mood", "input": "good"}
    return rest.call("POST", "/v1/classify", "acme", json=body, headers=headers)


def test_a_change_names_the_state_that_includes_it(rest: Rest) -> None:
    assert STATE not in classify(rest).headers
    assert STATE not in rest.call("GET", "/v1/tenants/acme/prefixes", "acme").headers
    states = []
    for version in (1, 1):
        response = rest.call("PUT", LIVE, "acme", json={"version": version})
        states.append(int(response.headers[STATE]))
    assert rest.registry.database.change_number == states[-1] >= states[0] > 0


def test_a_state_that_the_database_lacks_is_not_waited_for(rest: Rest) -> None:
    response = classify(rest, **{STATE: "9" * 18})
    check_problem(response, 503, "registry_behind")
    assert response.headers["retry-after"]
    assert classify(rest, **{STATE: "1"}).status_code == 200


@pytest.mark.parametrize("state", ["", "-1", "1.5", "x", "9" * 19])
def test_a_malformed_state_is_rejected(rest: Rest, state: str) -> None:
    check_problem(classify(rest, **{STATE: state}), 400, "invalid_registry_state")


def test_states_are_ignored_with_sqlite(backbone: Backbone, tmp_path: Path) -> None:
    with serving(tmp_path / "store", backbone) as rest:
        assert classify(rest, **{STATE: "9" * 18}).status_code == 200
        response = rest.call("PUT", LIVE, "acme", json={"version": 1})
        assert response.status_code == 200
        assert STATE not in response.headers


@pytest.fixture
def two_versions(
    backbone: Backbone, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, str]:
    """A store on PostgreSQL with two versions of `acme/mood`, and a key of acme."""
    monkeypatch.setenv("POLYPREFIX_DATABASE_URL", database_url)
    registry, keys = new_registry(tmp_path / "store", database_url)
    with closing(registry):
        for seed in (1, 2):
            put(registry, "acme/mood", make_prefix(backbone.fingerprint, seed=seed))
    return tmp_path / "store", keys["acme"]


def promote(url: str, key: str, version: int) -> str:
    with client(url, key) as sender:
        response = sender.put(LIVE, json={"version": version})
    assert response.status_code == 200
    return response.headers[STATE]


def served_model(url: str, key: str, **headers: str) -> str:
    with client(url, key) as sender:  # a connection goes to any front end
        body = {"model": "mood", "input": "good"}
        response = sender.post("/v1/classify", json=body, headers=headers)
    assert response.status_code == 200
    model: str = response.json()["results"][0]["model"]
    return model


def test_no_front_end_serves_an_older_version_than_another_has_set(
    two_versions: tuple[Path, str], backbone_folder: Path
) -> None:
    folder, key = two_versions
    flags = ("--backbone", str(backbone_folder), "--num-front-ends", "2")
    with server_process(folder, *flags) as (_, url):
        for version in (1, 2) * 10:
            promote(url, key, version)
            assert served_model(url, key) == f"acme/mood@{version}"


def test_another_server_sees_a_change_when_it_gets_its_state(
    two_versions: tuple[Path, str], backbone_folder: Path
) -> None:
    folder, key = two_versions
    flags = ("--backbone", str(backbone_folder))
    with server_process(folder, *flags) as (_, one), server_process(folder, *flags) as (_, other):
        for version in (1, 2) * 10:
            state = promote(one, key, version)
            assert served_model(other, key, **{STATE: state}) == f"acme/mood@{version}"
