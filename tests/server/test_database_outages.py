"""Outages of PostgreSQL: cached results are served, the rest fails at once."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from prefixes.backbone import Backbone
from tests.postgresql import PostgresServer, start_postgresql
from tests.server.rest import Rest, serving, until
from tests.server.test_bad_requests import check_problem

TASK = "/v1/tenants/acme/prefixes/mood"


@pytest.fixture
def database() -> Iterator[PostgresServer]:
    """A server that the test may stop."""
    server = start_postgresql()
    yield server
    server.remove()


@pytest.fixture
def rest(backbone: Backbone, tmp_path: Path, database: PostgresServer) -> Iterator[Rest]:
    with serving(tmp_path / "store", backbone, database_url=database.url()) as running:
        yield running


def classify(rest: Rest, model: str, key: str | None = "acme") -> httpx.Response:
    return rest.call("POST", "/v1/classify", key, json={"model": model, "input": "good"})


def metric(rest: Rest, name: str) -> float:
    lines = rest.call("GET", "/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(f"polyprefix_{name} ")).split()[1])


def until_away(rest: Rest) -> None:
    until(lambda: rest.registry.database.outage is not None)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_cached_keys_and_models_are_served_until_the_database_is_back(
    rest: Rest, database: PostgresServer, end: str
) -> None:
    assert classify(rest, "mood").status_code == 200
    assert classify(rest, "examples/mood", None).status_code == 200
    getattr(database, end)()
    until_away(rest)

    assert classify(rest, "mood").status_code == 200
    assert classify(rest, "examples/mood", None).status_code == 200
    for response in (
        classify(rest, "examples/topics"),  # not cached
        classify(rest, "secret", "zoo"),
        rest.call("PUT", f"{TASK}/aliases/live", "acme", json={"version": 1}),
        rest.call("GET", TASK, "acme"),
    ):
        check_problem(response, 503, "store_unavailable")
        assert response.headers["retry-after"]
        assert "cannot reach its database" in response.json()["detail"]
    assert rest.call("GET", "/livez").status_code == 200

    database.start()
    until(lambda: rest.registry.database.outage is None)
    assert classify(rest, "examples/topics").status_code == 200
    body = {"version": 1}
    assert rest.call("PUT", f"{TASK}/aliases/live", "acme", json=body).status_code == 200


def test_an_outage_is_reported(rest: Rest, database: PostgresServer) -> None:
    assert rest.call("GET", "/readyz").json() == {"status": "ready"}
    assert metric(rest, "database_reachable") == 1
    database.stop()
    until_away(rest)
    response = rest.call("GET", "/readyz")
    assert response.status_code == 200
    assert response.json()["status"] == "degraded"
    assert "The database has been unreachable for" in response.json()["warnings"][0]
    assert metric(rest, "database_reachable") == 0
    assert metric(rest, "database_outage_seconds") > 0
    database.start()
    until(lambda: rest.call("GET", "/readyz").json() == {"status": "ready"})
    assert metric(rest, "database_reachable") == 1


def test_a_server_is_not_ready_when_the_outage_lasts_too_long(
    backbone: Backbone, tmp_path: Path, database: PostgresServer
) -> None:
    url = database.url()
    with serving(tmp_path / "store", backbone, database_url=url, database_outage_seconds=0) as rest:
        assert classify(rest, "mood").status_code == 200
        database.stop()
        until_away(rest)
        until(lambda: rest.registry.database.state() is None)
        check_problem(rest.call("GET", "/readyz"), 503, "not_ready")
        check_problem(classify(rest, "mood"), 503, "store_unavailable")


def test_usage_of_an_outage_is_written_after_it(rest: Rest, database: PostgresServer) -> None:
    assert classify(rest, "mood").status_code == 200
    database.stop()
    until_away(rest)
    for _ in range(3):
        assert classify(rest, "mood").status_code == 200
    services = rest.app.state.services
    with pytest.raises(Exception, match="unreachable"):
        services.keys.uses.write()
    database.start()
    until(lambda: rest.registry.database.outage is None)
    services.keys.uses.write()
    (key,) = services.keys.list("acme")
    assert key.last_used_at is not None
    assert abs(key.last_used_at.timestamp() - time.time()) < 600
