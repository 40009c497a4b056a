"""Limits over HTTP: managing them, and what callers beyond them get."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prefixes.backbone import Backbone
from server.api.access import NEEDED, VISIBLE, is_inference
from server.errors import LimitExceeded
from server.settings import Settings
from tests.factories import make_prefix
from tests.server.conftest import Serve
from tests.server.management import CLASSIFY, issue, manage
from tests.server.rest import Rest, serving
from tests.server.test_error_texts import VALUES, operations

LIMITS = "/tenants/acme/limits"


@pytest.fixture
def rest(serve: Serve) -> Rest:
    return serve(max_prefixes_per_tenant=50)[0]


@pytest.fixture
def engine_rest(backbone: Backbone, tmp_path: Path) -> Iterator[Rest]:
    """The real engine counts requests and tokens."""
    with serving(tmp_path, backbone, default_model="acme/mood") as running:
        yield running


def limit(rest: Rest, tenant: str = "acme", **limits: Any) -> Any:
    return manage(rest, "PATCH", f"/tenants/{tenant}/limits", json=limits)


def test_limits_are_set_reset_and_shown_with_the_defaults(rest: Rest) -> None:
    shown = manage(rest, "GET", LIMITS, "acme")
    assert shown["limits"] == {}
    assert shown["applied"]["max_prefixes"] == 50
    assert shown["applied"]["requests_per_second"] == "unlimited"
    assert (shown["applied"]["max_queued_trainings"], shown["applied"]["weight"]) == (4, 1)
    assert shown["stored"]["prefixes"] == shown["stored"]["versions"] == 2
    changed = limit(rest, requests_per_second=2.5, max_prefixes="unlimited", weight=3)
    assert changed["limits"] == {
        "requests_per_second": 2.5,
        "max_prefixes": "unlimited",
        "weight": 3,
    }
    assert changed["applied"]["max_prefixes"] == "unlimited"
    assert limit(rest, max_prefixes=None)["applied"]["max_prefixes"] == 50
    assert manage(rest, "GET", LIMITS)["limits"] == {"requests_per_second": 2.5, "weight": 3}


def test_a_change_may_require_the_limits_that_its_author_has_seen(rest: Rest) -> None:
    first = rest.call("GET", f"/v1{LIMITS}", "operator").headers["ETag"]
    limit(rest, max_versions=9)
    body = {"max_versions": 8}
    stale = rest.call("PATCH", f"/v1{LIMITS}", "operator", headers={"If-Match": first}, json=body)
    assert (stale.status_code, stale.json()["code"]) == (412, "limits_changed")
    fresh = rest.call("GET", f"/v1{LIMITS}", "operator").headers["ETag"]
    done = rest.call("PATCH", f"/v1{LIMITS}", "operator", headers={"If-Match": fresh}, json=body)
    assert (done.status_code, done.json()["limits"]) == (200, {"max_versions": 8})
    assert done.headers["ETag"] not in {first, fresh}
    bad = rest.call("PATCH", f"/v1{LIMITS}", "operator", headers={"If-Match": "7"}, json=body)
    assert (bad.status_code, bad.json()["code"]) == (400, "bad_precondition")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"requests_per_second": 0}, "invalid_limit"),
        ({"max_prefixes": 1.5}, "invalid_limit"),
        ({"max_versions": -1}, "invalid_limit"),
        ({"weight": 1000}, "invalid_limit"),
        ({"weight": "unlimited"}, "invalid_limit"),
        ({"max_prefixes": "many"}, "invalid_request"),
        ({"max_prefixes": True}, "invalid_request"),
        ({"max_prefixes": [1]}, "invalid_request"),
        ({"max_prefixs": 1}, "invalid_request"),
    ],
)
def test_a_value_that_a_limit_cannot_have_is_rejected(
    rest: Rest, body: dict[str, Any], code: str
) -> None:
    response = rest.call("PATCH", f"/v1{LIMITS}", "operator", json=body)
    assert (response.status_code, response.json()["code"]) == (422, code)
    assert manage(rest, "GET", LIMITS)["limits"] == {}


def test_infinity_is_written_as_a_word(rest: Rest) -> None:
    headers = {"Content-Type": "application/json"}
    for content in ('{"max_prefixes": Infinity}', '{"max_prefixes": 1e999}'):
        response = rest.call("PATCH", f"/v1{LIMITS}", "operator", content=content, headers=headers)
        assert response.status_code == 422


def test_an_admin_limits_keys_below_the_limits_of_the_tenant(rest: Rest) -> None:
    limit(rest, requests_per_second=10)
    key = issue(rest, "acme")
    path = f"/tenants/acme/keys/{key['id']}/limits"
    body = {"requests_per_second": 10, "max_in_flight_texts": 4}
    assert manage(rest, "PATCH", path, "acme", json=body)["limits"] == body
    for wrong in ({"requests_per_second": 11}, {"requests_per_second": "unlimited"}):
        response = rest.call("PATCH", f"/v1{path}", "acme", json=wrong)
        assert (response.status_code, response.json()["code"]) == (422, "invalid_limit")
        assert "the limit of the tenant is 10" in response.json()["detail"]
    assert rest.call("PATCH", f"/v1{path}", "acme", json={"weight": 2}).status_code == 422
    assert manage(rest, "GET", path, "acme")["limits"] == body


def test_changes_of_limits_are_audited(rest: Rest) -> None:
    limit(rest, weight=2, max_prefixes="unlimited")
    limit(rest, weight=2)  # nothing changes
    limit(rest, weight=None)
    key = issue(rest, "acme")
    manage(rest, "PATCH", f"/tenants/acme/keys/{key['id']}/limits", json={"max_upload_bytes": 7})
    events = manage(rest, "GET", "/audit?action=tenant.limits", "acme")["events"]
    assert [(one["before"], one["after"]) for one in reversed(events)] == [
        ({"weight": None, "max_prefixes": None}, {"weight": 2, "max_prefixes": "unlimited"}),
        ({"weight": 2}, {"weight": None}),
    ]
    (event,) = manage(rest, "GET", "/audit?action=key.limits", "acme")["events"]
    assert (event["object"], event["after"]) == (key["id"], {"max_upload_bytes": 7})


INFERENCE = {
    "/v1/classify": {"model": "acme/mood", "input": "good"},
    "/v1/predict": {"model": "acme/mood", "input": "good"},
    "/classify": {"model": "acme/mood", "input": "good"},
    "/models/acme/mood": {"inputs": "good"},
    "/predict": {"inputs": "good"},
    "/": {"inputs": "good"},
    "/embed": {"inputs": "good", "model": "examples/vectors"},
    "/v1/embeddings": {"model": "examples/vectors", "input": "good"},
    "/v1/token-classification": {"model": "examples/things", "input": "good"},
    "/v1/question-answering": {
        "model": "examples/facts",
        "input": {"question": "who", "context": "good"},
    },
    "/v1/multiple-choice": {
        "model": "examples/causes",
        "input": {"premise": "good", "choices": ["a", "b"]},
    },
}


def test_every_inference_route_counts_and_rejects(engine_rest: Rest) -> None:
    rest = engine_rest
    with rest.client("acme") as client:
        for path, body in INFERENCE.items():
            limit(rest, requests_per_second=1000)
            accepted = client.post(path, json=body)
            assert accepted.status_code == 200, accepted.text
            assert accepted.headers["RateLimit-Policy"] == '"tenant-requests";q=10000;w=10'
            limit(rest, requests_per_second=0.001)  # a burst of one request
            counted = client.post(path, json=body)
            assert counted.headers["RateLimit"] == '"tenant-requests";r=0;t=1000'
            assert counted.headers["RateLimit-Policy"] == '"tenant-requests";q=1;w=1000'
            rejected = client.post(path, json=body)
            assert (rejected.status_code, rejected.json()["code"]) == (429, "limit_exceeded")
            assert rejected.json()["limit"] == "requests_per_second"
            assert 900 < int(rejected.headers["Retry-After"]) <= 1000
            seconds = rejected.headers["Retry-After"]
            assert rejected.headers["RateLimit"] == f'"tenant-requests";r=0;t={seconds}'
            assert rejected.headers["RateLimit-Policy"] == '"tenant-requests";q=1;w=1000'


def test_tokens_are_counted_as_the_response_reports_them(engine_rest: Rest) -> None:
    rest = engine_rest
    limit(rest, tokens_per_second=10)
    body = {"model": "acme/mood", "input": ["a good film"] * 8}
    answer = rest.call("POST", "/v1/classify", "acme", json=body)
    used = answer.json()["usage"]["tokens"]
    assert 0 < used < 100
    left = int(answer.headers["RateLimit"].split(";r=")[1].split(";")[0])
    assert 100 - used <= left <= 100 - used + 20  # some may have refilled
    assert answer.headers["RateLimit-Policy"] == '"tenant-tokens";q=100;qu="tokens";w=10'


def test_a_batch_is_admitted_whole_or_not_at_all(engine_rest: Rest) -> None:
    rest = engine_rest
    limit(rest, max_in_flight_texts=4)
    for count, status in ((4, 200), (5, 413), (4, 200)):
        body = {"model": "acme/mood", "input": ["good"] * count}
        answer = rest.call("POST", "/v1/classify", "acme", json=body)
        assert answer.status_code == status
    assert (
        "max_in_flight_texts"
        in rest.call(
            "POST", "/v1/classify", "acme", json={"model": "acme/mood", "input": ["good"] * 5}
        ).json()["detail"]
    )


def test_a_key_has_its_own_limit_and_other_tenants_are_not_affected(engine_rest: Rest) -> None:
    rest = engine_rest
    key = issue(rest, "acme")
    path = f"/tenants/acme/keys/{key['id']}/limits"
    manage(rest, "PATCH", path, json={"requests_per_second": 0.001})
    headers = {"Authorization": f"Bearer {key['key']}"}
    answers = [rest.call("POST", "/v1/classify", headers=headers, json=CLASSIFY) for _ in range(2)]
    assert [one.status_code for one in answers] == [200, 429]
    assert f"the key {key['id']}" in answers[1].json()["detail"]
    assert '"key-requests"' in answers[1].headers["RateLimit"]
    assert rest.call("POST", "/v1/classify", "acme", json=CLASSIFY).status_code == 200
    public = {"model": "examples/mood", "input": "good"}
    for caller in ("zoo", "operator", None):
        assert rest.call("POST", "/v1/classify", caller, json=public).status_code == 200


def test_callers_without_a_key_share_the_default_limits(backbone: Backbone, tmp_path: Path) -> None:
    public = {"model": "examples/mood", "input": "good"}
    with serving(tmp_path, backbone, requests_per_second_per_tenant=0.001) as rest:
        statuses = [rest.call("POST", "/v1/classify", json=public).status_code for _ in range(2)]
        assert statuses == [200, 429]
        for tenant in ("acme", "zoo"):
            statuses = [
                rest.call("POST", "/v1/classify", tenant, json=public).status_code for _ in range(2)
            ]
            assert statuses == [200, 429]


def test_a_limit_that_is_exceeded_does_not_stop_an_admin(serve: Serve) -> None:
    rest, engine = serve()
    engine.failure = LimitExceeded("no", limit="requests_per_second", retry_after_seconds=9)
    assert rest.call("POST", "/v1/classify", "acme", json=CLASSIFY).status_code == 429
    key = issue(rest, "acme")
    manage(rest, "DELETE", f"/tenants/acme/keys/{key['id']}", "acme")


def managed_routes(rest: Rest) -> Iterator[tuple[str, str]]:
    """Every route with a key that is not inference, with values in its path."""
    for method, path, _, _ in operations(rest):
        kind = "model" if path.startswith("/v2/") else "path"
        route = f"{method} {path}".replace("{model}", f"{{model:{kind}}}")
        if route in NEEDED or (route in VISIBLE and not is_inference(*route.split(" "))):
            yield method, path.format(**VALUES)


def test_every_other_route_has_a_rate_of_its_own(rest: Rest) -> None:
    key = issue(rest, "acme", role="admin")
    limits = f"/tenants/acme/keys/{key['id']}/limits"
    manage(rest, "PATCH", limits, json={"management_requests_per_second": 0.001})
    routes = [
        (method, path)
        for method, path in managed_routes(rest)
        if not path.startswith(("/v1/operator-keys", "/v1/usage"))
    ]
    headers = {"Authorization": f"Bearer {key['key']}"}
    with rest.client() as client:
        first = client.request(*routes[0], headers=headers)
        assert '"key-management-requests";r=0;t=1000' in first.headers["RateLimit"]
        num_limited = 0
        for method, path in routes:
            response = client.request(method, path, headers=headers)
            if response.status_code == 403:
                continue  # the role comes first
            problem = response.json()
            assert (response.status_code, problem["code"]) == (429, "limit_exceeded"), path
            assert problem["limit"] == "management_requests_per_second"
            assert 900 < int(response.headers["Retry-After"]) <= 1000
            num_limited += 1
        assert num_limited > 40
        assert client.post("/v1/classify", headers=headers, json=CLASSIFY).status_code == 200
    manage(rest, "DELETE", f"/tenants/acme/keys/{key['id']}", "acme")


def test_management_requests_are_limited_by_default_but_not_those_of_operators(
    serve: Serve,
) -> None:
    rest, _ = serve(management_requests_per_second_per_tenant=0.4)
    statuses = [rest.call("GET", f"/v1{LIMITS}", "acme").status_code for _ in range(4)]
    assert statuses == [200, 200, 429, 429]
    assert rest.call("GET", "/v1/models", "zoo").status_code == 200
    assert [rest.call("GET", "/v1/models").status_code for _ in range(6)] == [200] * 4 + [429] * 2
    assert {rest.call("GET", f"/v1{LIMITS}", "operator").status_code for _ in range(20)} == {200}
    response = rest.call("GET", f"/v1{LIMITS}", "operator")
    assert "RateLimit" not in response.headers
    assert response.json()["applied"]["management_requests_per_second"] == 0.4
    assert rest.call("GET", "/livez").status_code == 200
    assert Settings().management_requests_per_second_per_tenant == 50


def test_quotas_reject_uploads_and_name_the_limit(rest: Rest, backbone: Backbone) -> None:
    new = make_prefix(backbone.fingerprint, seed=71).to_bytes()
    limit(rest, max_versions=2)
    for ref, name, raised in (
        ("acme/mood", "max_versions", {"max_versions": 3, "max_prefixes": 2}),
        ("acme/new", "max_prefixes", {"max_prefixes": 3, "max_stored_bytes": len(new)}),
        ("acme/new", "max_stored_bytes", {"max_stored_bytes": None}),
    ):
        rejected = rest.upload(ref, new, by="acme")
        assert (rejected.status_code, rejected.json()["code"]) == (403, "quota_exceeded")
        assert rejected.json()["limit"] == name
        limit(rest, **raised)
    files = rest.files()
    assert rest.upload("acme/new", new, by="acme").status_code == 201
    assert len(rest.files()) == len(files) + 1
    limit(rest, max_versions=0)  # the bytes are there already, so nothing is added
    assert rest.upload("acme/new", new, by="acme").status_code == 200


def test_a_limit_on_uploads_rejects_larger_files(rest: Rest, backbone: Backbone) -> None:
    new = make_prefix(backbone.fingerprint, seed=72, prefix_length=64).to_bytes()
    limit(rest, max_upload_bytes=1000)
    assert rest.upload("acme/new", b"0" * 900, by="acme").json()["code"] == "prefix_rejected"
    rejected = rest.upload("acme/new", new + bytes(100_000), by="acme")
    assert (rejected.status_code, rejected.json()["code"]) == (413, "body_too_large")
    assert "max_upload_bytes" in rejected.json()["detail"]
    limit(rest, max_upload_bytes=None)
    assert rest.upload("acme/new", new, by="acme").status_code == 201


def test_a_training_that_could_not_be_published_is_rejected_before_it_starts(rest: Rest) -> None:
    def start(task: str = "new") -> Any:
        return rest.call(
            "POST",
            "/v1/tenants/acme/trainings",
            "acme",
            files={"file": ("rows.csv", b"text,label\nx,a\ny,b\n")},
            data={"task": task},
        )

    for name, value in (("max_versions", 2), ("max_stored_bytes", 1), ("max_prefixes", 2)):
        manage(rest, "PATCH", LIMITS, json={name: value})
        rejected = start()
        assert (rejected.status_code, rejected.json()["limit"]) == (403, name)
        manage(rest, "PATCH", LIMITS, json={name: None})
    limit(rest, max_prefixes=2, max_queued_trainings=1)
    assert start("mood").status_code == 202
    full = start("mood")
    assert (full.status_code, full.json()["limit"]) == (429, "max_queued_trainings")
    assert int(full.headers["Retry-After"]) > 0
