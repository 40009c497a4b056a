"""Sharing of prefixes over HTTP."""

import pytest

from prefixes.backbone import Backbone
from server.api.dialects import openai_models
from tests.server.conftest import Serve
from tests.server.management import CLASSIFY, issue, manage, status_of
from tests.server.rest import Rest


@pytest.fixture
def rest(serve: Serve) -> Rest:
    return serve()[0]


def test_a_shared_prefix_is_readable_by_the_named_tenant_until_that_ends(rest: Rest) -> None:
    path = "/tenants/acme/prefixes/mood/readers"
    assert status_of(rest, rest.keys["zoo"]) == 404
    manage(rest, "PUT", f"{path}/zoo", "acme")
    assert manage(rest, "GET", path, "acme")["tenants"] == ["zoo"]
    assert status_of(rest, rest.keys["zoo"]) == 200
    assert rest.call("POST", "/v1/classify", json=CLASSIFY).status_code == 401
    listed = manage(rest, "GET", "/models", "zoo")["data"]
    assert "acme/mood:live" in {model["id"] for model in listed}
    assert rest.call("DELETE", "/v1/tenants/acme/prefixes/mood", "zoo").status_code == 404
    manage(rest, "DELETE", f"{path}/zoo", "acme")
    assert manage(rest, "GET", path, "acme")["tenants"] == []
    assert status_of(rest, rest.keys["zoo"]) == 404


def test_sharing_does_not_reveal_whether_a_tenant_exists(rest: Rest) -> None:
    path = "/tenants/acme/prefixes/mood/readers"
    answers = [
        rest.call("PUT", f"/v1{path}/{reader}", "acme") for reader in ("zoo", "zoo", "nobody")
    ]
    assert {(answer.status_code, answer.content) for answer in answers} == {(204, b"")}
    assert manage(rest, "GET", path, "acme")["tenants"] == ["nobody", "zoo"]


def test_readers_are_listed_in_pages(rest: Rest) -> None:
    path = "/tenants/acme/prefixes/mood/readers"
    names = [f"tenant-{number}" for number in range(5)]
    for name in reversed(names):
        manage(rest, "PUT", f"{path}/{name}", "acme")
    found: list[str] = []
    page: str | None = f"/v1{path}?limit=2"
    while page is not None:
        listed = rest.call("GET", page, "acme").json()
        assert len(listed["tenants"]) <= 2
        found += listed["tenants"]
        page = listed["next"]
    assert found == names


def test_a_public_prefix_of_a_private_tenant_needs_no_key(rest: Rest) -> None:
    manage(rest, "PUT", "/tenants/acme/prefixes/mood/public", "acme")
    assert rest.call("POST", "/v1/classify", json=CLASSIFY).status_code == 200
    body = {"model": "acme/pair", "input": {"text_a": "a", "text_b": "b"}}
    assert rest.call("POST", "/v1/classify", json=body).status_code == 401
    manage(rest, "DELETE", "/tenants/acme/prefixes/mood/public", "acme")
    assert rest.call("POST", "/v1/classify", json=CLASSIFY).status_code == 401


def test_only_the_owner_and_operators_see_which_operators_key_changed_a_prefix(rest: Rest) -> None:
    data = rest.call("GET", "/v1/tenants/acme/prefixes/mood/versions/1/file", "acme").content
    assert rest.upload("examples/new", data, by="operator").status_code == 201
    named = f"operator {rest.keys['operator'].split('_')[1]}"
    rest.keys["examples"] = issue(rest, "examples", "infer")["key"]
    path = "/tenants/examples/prefixes/new"
    for caller, author in ((None, "operator"), ("acme", "operator"), ("operator", named)):
        entry = manage(rest, "GET", path, caller)
        assert entry["versions"][0]["created_by"] == author
        assert entry["aliases"][0]["history"][0]["moved_by"] == author
        assert manage(rest, "GET", f"{path}/versions/1", caller)["created_by"] == author
    assert manage(rest, "GET", path, "examples")["versions"][0]["created_by"] == named


def test_readers_end_with_the_prefix(rest: Rest, backbone: Backbone) -> None:
    data = rest.call("GET", "/v1/tenants/acme/prefixes/mood/versions/1/file", "acme").content
    manage(rest, "PUT", "/tenants/acme/prefixes/mood/readers/zoo", "acme")
    manage(rest, "PUT", "/tenants/acme/prefixes/mood/public", "acme")
    manage(rest, "DELETE", "/tenants/acme/prefixes/mood", "acme")
    assert status_of(rest, rest.keys["zoo"]) == 404
    assert rest.upload("acme/mood", data, by="acme").status_code == 201
    assert manage(rest, "GET", "/tenants/acme/prefixes/mood/readers", "acme") == {
        "is_public": False,
        "tenants": [],
        "next": None,
    }


def test_models_that_others_share_do_not_displace_the_callers_own(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    manage(rest, "PUT", "/tenants/acme/prefixes/mood/public", "acme")
    monkeypatch.setattr(openai_models, "MAX_MODELS", 1)
    (model,) = manage(rest, "GET", "/models", "zoo")["data"]
    assert model["owned_by"] == "zoo"
