"""A server on a full disk: it answers, says what is wrong, and recovers by itself."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from prefixes.backbone import Backbone
from tests.factories import make_prefix
from tests.full_disk import fill, mounted_disk
from tests.server.rest import Rest, serving

TASKS = "/v1/tenants/acme/prefixes"


@pytest.fixture
def rest(backbone: Backbone, tmp_path: Path) -> Iterator[Rest]:
    with (
        mounted_disk(tmp_path / "store", kib=24 * 1024) as disk,
        serving(disk, backbone) as running,
    ):
        yield running


def ask_for_training(rest: Rest) -> httpx.Response:
    rows = ("rows.csv", "text,label\ngood,yes\nbad,no\n")
    path = "/v1/tenants/acme/trainings"
    return rest.call("POST", path, "acme", files={"file": rows}, data={"task": "mood"})


def test_a_server_on_a_full_disk_reports_it_and_recovers(rest: Rest, backbone: Backbone) -> None:
    files = [make_prefix(backbone.fingerprint, seed=seed).to_bytes() for seed in range(50, 53)]
    for data in files[:2]:
        assert rest.upload("acme/topic", data, by="acme").status_code == 201
    assert rest.call("GET", "/readyz").json() == {"status": "ready"}
    ballast = fill(rest.folder)

    promote = {"json": {"version": 2}}
    for answer in (
        ask_for_training(rest),
        rest.upload("acme/topic", files[2], by="acme"),
        rest.call("PUT", f"{TASKS}/topic/aliases/live", "acme", **promote),
    ):
        assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
        assert "retry-after" in answer.headers
    ready = rest.call("GET", "/readyz")
    assert ready.status_code == 200
    assert "free space" in ready.json()["warnings"][0]
    body = {"model": "mood", "input": "good"}
    assert rest.call("POST", "/v1/classify", "acme", json=body).status_code == 200
    assert rest.call("DELETE", f"{TASKS}/topic/versions/2", "acme").status_code == 204

    ballast.unlink()
    assert rest.call("GET", "/readyz").json() == {"status": "ready"}
    assert rest.upload("acme/topic", files[2], by="acme").status_code == 201
    assert ask_for_training(rest).status_code == 202
