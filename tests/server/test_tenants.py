"""Tenants and keys over HTTP."""

import itertools
import json
from datetime import UTC, datetime

import pytest

from prefixes.registry import ApiKeys
from server.job_ids import new_id
from server.settings import Settings
from server.training_jobs.records import JobRequest
from server.training_jobs.store import training_store
from tests.server.conftest import Serve
from tests.server.management import CLASSIFY, issue, manage, status_of
from tests.server.rest import Rest, until


@pytest.fixture
def rest(serve: Serve) -> Rest:
    return serve()[0]


def test_an_operator_creates_a_tenant_whose_keys_work_at_once(rest: Rest) -> None:
    made = manage(rest, "POST", "/tenants", json={"name": "shop"})
    assert (made["state"], made["is_public"]) == ("active", False)
    key = issue(rest, "shop", "upload", label="ci")
    assert status_of(rest, key["key"], {"model": "examples/mood", "input": "good"}) == 200
    assert manage(rest, "GET", "/tenants?limit=2")["next"] == "/v1/tenants?limit=2&after=examples"
    names = [one["name"] for one in manage(rest, "GET", "/tenants?after=examples")["tenants"]]
    assert names == ["shop", "zoo"]
    assert rest.call("POST", "/v1/tenants", "operator", json={"name": "shop"}).status_code == 409


def test_a_tenant_is_made_public_and_private(rest: Rest) -> None:
    assert rest.call("POST", "/v1/classify", json=CLASSIFY).status_code == 401
    assert manage(rest, "PATCH", "/tenants/acme", json={"is_public": True})["is_public"]
    assert rest.call("POST", "/v1/classify", json=CLASSIFY).status_code == 200
    assert not manage(rest, "PATCH", "/tenants/acme", json={"is_public": False})["is_public"]
    assert rest.call("POST", "/v1/classify", json=CLASSIFY).status_code == 401
    assert not manage(rest, "GET", "/tenants/acme", "acme")["is_public"]


def test_a_suspended_tenant_is_rejected_and_hidden_until_it_is_resumed(rest: Rest) -> None:
    public = {"model": "examples/mood", "input": "good"}
    examples = issue(rest, "examples")["key"]
    assert status_of(rest, examples, public) == 200
    assert manage(rest, "POST", "/tenants/examples/suspend")["state"] == "suspended"
    assert status_of(rest, examples, public) == 403
    assert status_of(rest, rest.keys["acme"], public) == 404
    assert manage(rest, "POST", "/tenants/examples/resume")["state"] == "active"
    assert status_of(rest, examples, public) == 200


def test_a_deleted_tenant_is_unknown_until_it_is_resumed(rest: Rest) -> None:
    assert status_of(rest, rest.keys["acme"]) == 200
    assert manage(rest, "DELETE", "/tenants/acme")["state"] == "deleted"
    assert status_of(rest, rest.keys["acme"]) == 401
    assert rest.call("POST", "/v1/tenants", "operator", json={"name": "acme"}).status_code == 409
    manage(rest, "POST", "/tenants/acme/resume")
    assert status_of(rest, rest.keys["acme"]) == 200


def test_a_key_is_shown_once_and_only_its_hash_is_stored(rest: Rest) -> None:
    made = issue(rest, "acme", label="laptop")
    listed = rest.call("GET", "/v1/tenants/acme/keys", "acme")
    assert [key["label"] for key in listed.json()["keys"]] == ["test", "laptop"]
    assert made["key"] not in listed.text
    secret = made["key"].split("_", 2)[2].encode()
    files = [path for path in rest.folder.rglob("*") if path.is_file()]
    assert files
    assert not any(secret in path.read_bytes() for path in files)


@pytest.mark.parametrize("label", ["a\tb", "a\nb", "\x1b[2J", "\x00", "\x9b2J", "\u202e", "\ud800"])
def test_a_label_cannot_control_the_terminal_that_shows_it(rest: Rest, label: str) -> None:
    content = json.dumps({"role": "infer", "label": label})
    headers = {"Content-Type": "application/json"}
    path = "/v1/tenants/acme/keys"
    assert rest.call("POST", path, "acme", content=content, headers=headers).status_code == 422
    assert issue(rest, "acme", label="Zoë's laptop ✓")["label"] == "Zoë's laptop ✓"


def test_a_revoked_key_is_rejected_by_the_next_request(rest: Rest) -> None:
    made = issue(rest, "acme")
    assert [status_of(rest, made["key"]) for _ in range(2)] == [200, 200]
    manage(rest, "DELETE", f"/tenants/acme/keys/{made['id']}", "acme")
    assert status_of(rest, made["key"]) == 401
    assert manage(rest, "GET", f"/tenants/acme/keys/{made['id']}")["state"] == "revoked"


def test_an_event_stream_ends_when_its_key_is_revoked(rest: Rest) -> None:
    trainings = training_store(Settings(store_folder=rest.folder), rest.registry.database)
    training = trainings.add(new_id(), JobRequest("acme", "mood", "live", 0.0, {}))
    made = issue(rest, "acme", "upload")
    rest.keys["ci"] = made["key"]
    path = f"/v1/tenants/acme/trainings/{training.id}/events"
    with rest.client("ci") as client, client.stream("GET", path) as response:
        lines = response.iter_lines()
        assert next(lines) == "event: state"
        manage(rest, "DELETE", f"/tenants/acme/keys/{made['id']}")
        assert len(list(itertools.islice(lines, 20))) < 20


def test_an_expired_key_is_rejected_although_its_answer_is_cached(rest: Rest) -> None:
    made = issue(rest, "acme", expires_in_seconds=2)
    assert status_of(rest, made["key"]) == 200
    until(lambda: status_of(rest, made["key"]) == 401)
    assert manage(rest, "GET", f"/tenants/acme/keys/{made['id']}")["state"] == "expired"


def test_rotation_keeps_both_keys_valid_during_the_overlap(rest: Rest) -> None:
    old = issue(rest, "acme", "upload", label="ci")
    path = f"/tenants/acme/keys/{old['id']}/rotate"
    new = manage(rest, "POST", path, "acme", json={"overlap_seconds": 2})
    assert (new["role"], new["label"]) == ("upload", "ci")
    assert status_of(rest, old["key"]) == status_of(rest, new["key"]) == 200
    until(lambda: status_of(rest, old["key"]) == 401)
    assert status_of(rest, new["key"]) == 200
    assert manage(rest, "GET", f"/tenants/acme/keys/{old['id']}")["replaced_by"] == new["id"]
    assert rest.call("POST", f"/v1{path}", "acme", json={}).status_code == 409


def test_keys_are_listed_in_pages(rest: Rest) -> None:
    for number in range(4):
        issue(rest, "acme", label=str(number))
    everything = manage(rest, "GET", "/tenants/acme/keys", "acme")
    assert (len(everything["keys"]), everything["next"]) == (5, None)
    found: list[dict[str, object]] = []
    page: str | None = "/v1/tenants/acme/keys?limit=2"
    while page is not None:
        listed = rest.call("GET", page, "acme").json()
        assert len(listed["keys"]) <= 2
        found += listed["keys"]
        page = listed["next"]
    assert found == everything["keys"]


def test_a_page_does_not_begin_after_the_key_of_another_owner(rest: Rest) -> None:
    theirs, operators = (rest.keys[name].split("_")[1] for name in ("zoo", "operator"))
    for key_id in (theirs, operators, "0" * 12):
        path = f"/v1/tenants/acme/keys?after={key_id}"
        response = rest.call("GET", path, "acme")
        assert (response.status_code, response.json()["code"]) == (404, "key_not_found")


def test_rotation_needs_no_body(rest: Rest) -> None:
    old = issue(rest, "acme", "upload")
    new = manage(rest, "POST", f"/tenants/acme/keys/{old['id']}/rotate", "acme")
    rotated = manage(rest, "GET", f"/tenants/acme/keys/{old['id']}")
    assert (rotated["replaced_by"], rotated["state"]) == (new["id"], "valid")
    operators = manage(rest, "POST", "/operator-keys", json={})
    assert manage(rest, "POST", f"/operator-keys/{operators['id']}/rotate")["key"]


def test_an_admin_cannot_issue_a_key_of_an_operator(rest: Rest) -> None:
    body = {"role": "operator"}
    assert rest.call("POST", "/v1/tenants/acme/keys", "acme", json=body).status_code == 422


def test_no_body_of_an_admin_gives_another_owner_or_role(rest: Rest) -> None:
    for body in ({"role": "infer", "tenant": "zoo"}, {"role": "infer", "tenant": None}):
        assert rest.call("POST", "/v1/tenants/acme/keys", "acme", json=body).status_code == 422
    for path in ("/v1/operator-keys", "/v1/tenants"):
        response = rest.call("POST", path, "acme", json={})
        assert (response.status_code, response.json()["code"]) == (403, "role_required")


def test_an_operators_key_cannot_be_reached_through_a_tenant(rest: Rest) -> None:
    key_id = rest.keys["operator"].split("_")[1]
    for caller in ("acme", "operator"):
        path = f"/v1/tenants/acme/keys/{key_id}"
        assert rest.call("GET", path, caller).status_code == 404
        assert rest.call("POST", f"{path}/rotate", caller, json={}).status_code == 404
        assert rest.call("DELETE", path, caller).status_code == 404
    theirs = rest.keys["acme"].split("_")[1]
    assert rest.call("DELETE", f"/v1/operator-keys/{theirs}", "operator").status_code == 404
    assert status_of(rest, rest.keys["acme"]) == 200


def test_operators_keys_are_issued_rotated_and_revoked(rest: Rest) -> None:
    made = manage(rest, "POST", "/operator-keys", json={"label": "second"})
    assert (made["tenant"], made["role"]) == (None, "operator")
    rest.keys["second"] = made["key"]
    new = manage(rest, "POST", f"/operator-keys/{made['id']}/rotate", json={"overlap_seconds": 0})
    rest.keys["third"] = new["key"]
    assert rest.call("GET", "/v1/tenants", "second").status_code == 401
    assert manage(rest, "GET", "/operator-keys", "third")["keys"][-1]["id"] == new["id"]
    assert manage(rest, "GET", f"/operator-keys/{made['id']}")["state"] == "expired"
    manage(rest, "DELETE", f"/operator-keys/{new['id']}", "third")
    assert rest.call("GET", "/v1/tenants", "third").status_code == 401


def test_the_last_key_of_an_operator_cannot_be_revoked_over_http(rest: Rest) -> None:
    path = f"/v1/operator-keys/{rest.keys['operator'].split('_')[1]}"
    issue_expired = ApiKeys(rest.registry.database).issue
    issue_expired(None, "old", role="operator", expires_at=datetime.now(UTC))
    response = rest.call("DELETE", path, "operator")
    assert (response.status_code, response.json()["code"]) == (409, "last_operator_key")
    manage(rest, "POST", "/operator-keys", json={})
    assert rest.call("DELETE", path, "operator").status_code == 204


def test_the_key_of_another_tenant_does_not_exist(rest: Rest) -> None:
    theirs = rest.keys["zoo"].split("_")[1]
    for key_id in (theirs, "0123456789ab", "%00"):
        for caller in ("acme", "operator"):
            response = rest.call("DELETE", f"/v1/tenants/acme/keys/{key_id}", caller)
            assert (response.status_code, response.json()["code"]) == (404, "key_not_found")
    assert status_of(rest, rest.keys["zoo"], {"model": "zoo/secret", "input": "good"}) == 200


def test_a_low_role_on_the_own_tenant_is_told_the_role_it_needs(rest: Rest) -> None:
    rest.keys["reader"] = issue(rest, "acme")["key"]
    response = rest.call("DELETE", "/v1/tenants/acme/prefixes/mood", "reader")
    assert (response.status_code, response.json()["code"]) == (403, "role_required")
    assert "`admin`" in response.json()["detail"]
    assert rest.call("DELETE", "/v1/tenants/zoo/prefixes/mood", "reader").status_code == 404


def test_keys_are_listed_with_their_limits(rest: Rest) -> None:
    limited, free = issue(rest, "acme"), issue(rest, "acme")
    limits = {"requests_per_second": 2, "max_in_flight_texts": 5}
    manage(rest, "PATCH", f"/tenants/acme/keys/{limited['id']}/limits", json=limits)
    listed = {key["id"]: key for key in manage(rest, "GET", "/tenants/acme/keys")["keys"]}
    assert listed[limited["id"]]["limits"] == limits
    assert listed[free["id"]]["limits"] == {}
    rotated = manage(rest, "POST", f"/tenants/acme/keys/{limited['id']}/rotate")
    assert rotated["limits"] == limits
    assert manage(rest, "GET", f"/tenants/acme/keys/{free['id']}")["limits"] == {}
