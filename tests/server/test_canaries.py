"""Canaries over HTTP: who gets which version, and conditional changes."""

from typing import Any, Final

import pytest

from prefixes.backbone import Backbone
from tests.factories import make_prefix
from tests.server.conftest import Serve
from tests.server.management import issue, manage
from tests.server.rest import Rest, put

PATH: Final = "/tenants/acme/prefixes/mood/aliases/live"


@pytest.fixture
def rest(serve: Serve, backbone: Backbone) -> Rest:
    """A server where `live` of acme/mood points to version 1 of two."""
    rest, _ = serve()
    put(rest.registry, "acme/mood", make_prefix(backbone.fingerprint, seed=70))
    manage(rest, "PUT", PATH, "acme", json={"version": 1})
    return rest


def start(rest: Rest, percent: float, *, version: int = 2, **how: Any) -> Any:
    body = {"version": version, "percent": percent}
    return manage(rest, "PUT", f"{PATH}/canary", "acme", json=body, **how)


def models(rest: Rest, *inputs: Any, key: str = "acme", **headers: str) -> list[str]:
    """The versions that answer inputs."""
    body = {"model": "acme/mood", "input": list(inputs) or ["good"]}
    answer = rest.call("POST", "/v1/classify", key, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return [result["model"] for result in answer.json()["results"]]


def users(rest: Rest, **headers: str) -> list[str]:
    """The versions that answer forty users."""
    return [models(rest, **headers, **{"X-Canary-Key": f"user {n}"})[0] for n in range(40)]


def test_each_user_keeps_its_version_and_the_response_names_it(rest: Rest) -> None:
    start(rest, 50)
    first = users(rest)
    assert set(first) == {"acme/mood@1", "acme/mood@2"}
    assert users(rest) == first


def test_without_the_header_the_api_key_decides(rest: Rest) -> None:
    start(rest, 50)
    found = set()
    for number in range(20):
        rest.keys[f"key {number}"] = issue(rest, "acme")["key"]
        answers = {models(rest, key=f"key {number}")[0] for _ in range(3)}
        assert len(answers) == 1
        found |= answers
    assert found == {"acme/mood@1", "acme/mood@2"}


def test_all_inputs_of_a_request_for_an_alias_get_one_version(rest: Rest) -> None:
    start(rest, 50)
    for number in range(10):
        headers = {"X-Canary-Key": f"user {number}"}
        fixed = {"model": "acme/mood@1", "text": "good"}
        other = {"model": "examples/mood", "text": "good"}
        answers = models(rest, "good", fixed, "bad", other, "fine", **headers)
        assert answers[1] == "acme/mood@1"
        assert answers[3] == "examples/mood@1"
        assert len({answers[0], answers[2], answers[4]}) == 1


def test_a_request_with_a_timeout_of_its_own_gets_the_same_version(rest: Rest) -> None:
    start(rest, 50)
    assert users(rest, **{"X-Timeout-Ms": "20000"}) == users(rest)


@pytest.mark.parametrize("path", ["/models/acme/mood", "/classify"])
def test_other_dialects_split_their_callers_too(rest: Rest, path: str) -> None:
    start(rest, 100)
    body = {"inputs": "good"} if "models" in path else {"model": "acme/mood", "input": "good"}
    assert rest.call("POST", path, "acme", json=body).status_code == 200
    assert rest.call("GET", "/info?model=acme/mood", "acme").json()["model_id"] == "acme/mood@2"


def test_callers_without_a_key_get_the_stable_version_unless_they_send_the_header(
    rest: Rest, backbone: Backbone
) -> None:
    put(rest.registry, "examples/mood", make_prefix(backbone.fingerprint, seed=71, max_length=16))
    path = "/tenants/examples/prefixes/mood/aliases/live"
    manage(rest, "PUT", path, json={"version": 1})
    manage(rest, "PUT", f"{path}/canary", json={"version": 2, "percent": 100})
    body = {"model": "examples/mood", "input": "good"}
    for headers, expected in (({}, "@1"), ({"X-Canary-Key": "ada"}, "@2")):
        answer = rest.call("POST", "/v1/classify", json=body, headers=headers)
        assert answer.json()["results"][0]["model"] == f"examples/mood{expected}"


def test_a_canary_is_shown_changed_and_canceled(rest: Rest) -> None:
    started = start(rest, 5)
    assert (started["version"], started["percent"]) == (2, 5)
    assert manage(rest, "GET", f"{PATH}/canary", "acme") == started
    (alias,) = manage(rest, "GET", "/tenants/acme/prefixes/mood", "acme")["aliases"]
    assert alias["canary"] == {"version": 2, "percent": 5}
    report = manage(rest, "GET", f"{PATH}/canary/report", "acme")
    assert (report["compared"], report["canary"]["answered"]) == (0, 0)
    assert start(rest, 20)["started_at"] == started["started_at"]
    assert alias["history"][-1]["kind"] == "canary"
    manage(rest, "DELETE", f"{PATH}/canary", "acme")
    answer = rest.call("GET", f"/v1{PATH}/canary", "acme")
    assert (answer.status_code, answer.json()["code"]) == (404, "canary_not_found")


def test_a_promoted_canary_answers_everybody(rest: Rest) -> None:
    start(rest, 0)
    promoted = rest.call("POST", f"/v1{PATH}/canary/promote", "acme")
    assert (promoted.status_code, promoted.headers["etag"]) == (200, '"2"')
    assert promoted.json()["version"] == 2
    assert set(users(rest)) == {"acme/mood@2"}


def test_changes_are_made_only_in_the_expected_state(rest: Rest) -> None:
    path = f"/v1{PATH}/canary"
    body = {"version": 2, "percent": 5}
    fresh = rest.call("PUT", path, "acme", json=body, headers={"If-None-Match": "*"})
    assert fresh.status_code == 200
    again = rest.call("PUT", path, "acme", json=body, headers={"If-None-Match": "*"})
    assert (again.status_code, again.json()["code"]) == (412, "canary_changed")
    tag = fresh.headers["etag"]
    changed = rest.call("PUT", path, "acme", json=body | {"percent": 6}, headers={"If-Match": tag})
    assert changed.headers["etag"] != tag
    for method, target, how in (
        ("PUT", path, {"json": body}),
        ("POST", f"{path}/promote", {}),
        ("DELETE", path, {}),
    ):
        late = rest.call(method, target, "acme", headers={"If-Match": tag}, **how)
        assert (late.status_code, late.json()["code"]) == (412, "canary_changed")
    odd = rest.call("DELETE", path, "acme", headers={"If-Match": "yes"})
    assert (odd.status_code, odd.json()["code"]) == (400, "bad_precondition")
    current = {"If-Match": changed.headers["etag"]}
    assert rest.call("DELETE", path, "acme", headers=current).status_code == 204


@pytest.mark.parametrize("body", [{"version": 2, "percent": 101}, {"version": 2}, {"percent": 5}])
def test_a_share_outside_0_to_100_is_rejected(rest: Rest, body: dict[str, Any]) -> None:
    answer = rest.call("PUT", f"/v1{PATH}/canary", "acme", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
