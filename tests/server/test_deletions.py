"""Deleting, restoring and retention over HTTP."""

from typing import Any, Final

import pytest

from prefixes.backbone import Backbone
from tests.factories import make_prefix
from tests.server.conftest import Serve
from tests.server.management import CLASSIFY, manage
from tests.server.rest import Rest, put

PATH: Final = "/tenants/acme/prefixes/mood"


@pytest.fixture
def rest(serve: Serve, backbone: Backbone) -> Rest:
    """A server where acme/mood has three versions; live points to the last."""
    rest, _ = serve()
    for seed in (90, 91):
        put(rest.registry, "acme/mood", make_prefix(backbone.fingerprint, seed=seed))
    return rest


def deleted(rest: Rest) -> Any:
    return manage(rest, "GET", "/tenants/acme/deleted-prefixes", "acme")


def test_a_deleted_version_can_be_restored(rest: Rest) -> None:
    shown = manage(rest, "GET", f"{PATH}/versions/1", "acme")
    manage(rest, "DELETE", f"{PATH}/versions/1", "acme")
    assert rest.call("GET", f"/v1{PATH}/versions/1/file", "acme").status_code == 404
    (version,) = deleted(rest)["versions"]
    assert (version["task"], version["version"]) == ("mood", 1)
    assert version["removed_at"] > version["deleted_at"]
    restored = manage(rest, "POST", f"{PATH}/versions/1/restore", "acme")
    assert restored["digest"] == shown["digest"]
    assert rest.call("GET", f"/v1{PATH}/versions/1/file", "acme").status_code == 200
    assert deleted(rest)["versions"] == []


def test_a_deleted_prefix_can_be_restored(rest: Rest) -> None:
    before = manage(rest, "GET", PATH, "acme")
    manage(rest, "DELETE", PATH, "acme")
    assert rest.call("POST", "/v1/classify", "acme", json=CLASSIFY).status_code == 404
    assert [one["task"] for one in deleted(rest)["prefixes"]] == ["mood"]
    assert manage(rest, "POST", f"{PATH}/restore", "acme") == before
    assert rest.call("POST", "/v1/classify", "acme", json=CLASSIFY).status_code == 200


def test_a_prefix_is_not_restored_over_a_new_one(rest: Rest, backbone: Backbone) -> None:
    manage(rest, "DELETE", PATH, "acme")
    put(rest.registry, "acme/mood", make_prefix(backbone.fingerprint, seed=92))
    answer = rest.call("POST", f"/v1{PATH}/restore", "acme")
    assert (answer.status_code, answer.json()["code"]) == (409, "prefix_exists")


def test_a_permanent_deletion_frees_the_bytes_at_once(rest: Rest) -> None:
    before = len(rest.registry.store.digests())
    manage(rest, "DELETE", f"{PATH}/versions/1", "acme")
    assert len(rest.registry.store.digests()) == before
    manage(rest, "DELETE", f"{PATH}/versions/1?permanent=true", "acme")
    assert len(rest.registry.store.digests()) == before - 1
    manage(rest, "DELETE", f"{PATH}?permanent=true", "acme")
    assert len(rest.registry.store.digests()) == before - 3
    assert rest.call("POST", f"/v1{PATH}/restore", "acme").status_code == 404
    assert deleted(rest) == {"prefixes": [], "versions": []}


def test_a_retention_rule_is_set_and_shown(rest: Rest) -> None:
    path = f"{PATH}/retention"
    assert manage(rest, "GET", path, "acme") == {"keep_versions": None, "keep_days": None}
    rule = {"keep_versions": 5, "keep_days": None}
    assert manage(rest, "PUT", path, "acme", json={"keep_versions": 5}) == rule
    assert manage(rest, "GET", path, "acme") == rule
    assert rest.call("PUT", f"/v1{path}", "acme", json={"keep_versions": 0}).status_code == 422
