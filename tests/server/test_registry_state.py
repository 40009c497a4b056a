"""Registry states: a change is seen by the requests that follow it, at every server."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from prefixes.backbone import Backbone
from tests.postgresql import PostgresServer
from tests.server.rest import Rest, serving
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
