"""Webhooks over HTTP."""

import json
from typing import Any

import pytest

from prefixes.registry.deliveries import Attempt, DeliveryQueue
from server.job_ids import new_id
from server.settings import Settings
from server.training_jobs.records import JobRequest
from server.training_jobs.store import training_store
from tests.prefixes.holding import hold
from tests.server.conftest import Serve
from tests.server.management import manage
from tests.server.rest import Rest, until

PATH = "/tenants/acme/webhooks"
ALL = [
    "training.finished",
    "batch.finished",
    "batch.failed",
    "alias.moved",
    "upload.rejected",
    "canary.rolled_back",
    "quota.reached",
    "task.drifted",
]


@pytest.fixture
def rest(serve: Serve) -> Rest:
    return serve()[0]


def create(rest: Rest, *events: str, url: str = "https://example.org/events") -> dict[str, Any]:
    made: dict[str, Any] = manage(
        rest, "POST", PATH, "acme", json={"url": url, "events": events or ALL}
    )
    return made


def messages(rest: Rest) -> list[dict[str, Any]]:
    """Deliver everything that waits, and return the bodies."""
    queue = DeliveryQueue(rest.registry.database)
    found = []
    while claimed := queue.claim(hold, limit=1):
        for one in claimed:
            found.append(json.loads(one.body))
            queue.finish(one, Attempt(status=200))
    return found


def test_a_webhook_is_created_shown_changed_and_deleted(rest: Rest) -> None:
    made = create(rest, "alias.moved", "alias.moved", "quota.reached")
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert made["events"] == ["alias.moved", "quota.reached"]
    path = f"{PATH}/{made['id']}"
    assert manage(rest, "GET", path, "acme") == made
    assert manage(rest, "GET", PATH, "acme") == {"webhooks": [made]}
    changed = manage(rest, "PATCH", path, "acme", json={"is_enabled": False})
    assert changed == made | {"is_enabled": False}
    change = {"url": "https://example.org/new", "events": ["upload.rejected"], "is_enabled": True}
    assert manage(rest, "PATCH", path, "acme", json=change) == made | change
    manage(rest, "DELETE", path, "acme")
    assert rest.call("GET", f"/v1{path}", "acme").json()["code"] == "webhook_not_found"
    recorded = manage(rest, "GET", f"/audit?object={made['id']}", "acme")["events"]
    assert [event["action"] for event in recorded] == [
        "webhook.delete", "webhook.change", "webhook.change", "webhook.create",
    ]  # fmt: skip
    assert secret not in json.dumps(recorded)


def test_only_creation_and_rotation_show_a_secret(rest: Rest) -> None:
    made = create(rest)
    rotated = rest.call("POST", f"/v1{PATH}/{made['id']}/rotate", "acme")
    assert rotated.headers["cache-control"] == "no-store"
    secrets = {made["secret"], rotated.json()["secret"]}
    assert len(secrets) == 2
    for path in ("", f"/{made['id']}", f"/{made['id']}/deliveries"):
        shown = rest.call("GET", f"/v1{PATH}{path}", "acme").text
        assert not any(secret in shown for secret in secrets)


@pytest.mark.parametrize(
    "body",
    [
        {"url": "ftp://example.org/"},
        {"url": "example.org"},
        {"url": "https://"},
        {"url": "https://user:password@example.org/"},
        {"url": "https://example.org/#part"},
        {"url": "https://exämple.org/"},
        {"url": "https://example.org/a b"},
        {"url": "https://example.org/\r\nX-Header: 1"},
        {"url": "https://example.org:99999/"},
        {"url": "https://[::1/"},
        {"url": f"https://example.org/{'x' * 2048}"},
        {"events": []},
        {"events": ["alias.deleted"]},
        {"events": None},
        {"secret": "whsec_mine"},
    ],
)
def test_an_invalid_webhook_is_rejected(rest: Rest, body: dict[str, Any]) -> None:
    valid = {"url": "https://example.org/", "events": ["alias.moved"]}
    assert rest.call("POST", f"/v1{PATH}", "acme", json=valid | body).status_code == 422
    if body.keys() & {"url", "events"} and None not in body.values():
        path = f"/v1{PATH}/{create(rest)['id']}"
        assert rest.call("PATCH", path, "acme", json=body).status_code == 422


def test_a_test_event_shows_up_among_the_deliveries(rest: Rest) -> None:
    webhook = create(rest, "alias.moved")["id"]
    for _ in range(3):
        manage(rest, "POST", f"{PATH}/{webhook}/test", "acme")
    page = manage(rest, "GET", f"{PATH}/{webhook}/deliveries?limit=2", "acme")
    rest_of_it = manage(rest, "GET", page["next"].removeprefix("/v1"), "acme")
    found = page["deliveries"] + rest_of_it["deliveries"]
    assert [one["event"] for one in found] == ["webhook.test"] * 3
    assert {(one["state"], one["num_attempts"]) for one in found} == {("pending", 0)}
    assert found == sorted(found, key=lambda one: -one["id"])
    assert messages(rest)[0]["type"] == "webhook.test"


def test_moves_of_aliases_and_rejected_uploads_emit_events(rest: Rest) -> None:
    create(rest)
    data = rest.call("GET", "/v1/tenants/acme/prefixes/mood/versions/1/file", "acme").content
    assert rest.upload("acme/new", data, by="acme").status_code == 201
    manage(rest, "PUT", "/tenants/acme/prefixes/new/aliases/next", "acme", json={"version": 1})
    assert rest.upload("acme/new", b"not a prefix", by="acme").status_code == 422
    first, second, third = messages(rest)
    assert [one["type"] for one in (first, second)] == ["alias.moved"] * 2
    assert (first["data"]["alias"], first["data"]["kind"]) == ("live", "publish")
    assert (second["data"]["alias"], second["data"]["kind"]) == ("next", "promote")
    assert third["type"] == "upload.rejected"
    assert (third["data"]["tenant"], third["data"]["task"]) == ("acme", "new")
    assert third["data"]["findings"]


def test_a_reached_limit_emits_one_event_an_hour(serve: Serve) -> None:
    rest, _ = serve()
    manage(rest, "PATCH", "/tenants/acme/limits", json={"max_prefixes": 2})
    create(rest, "quota.reached")
    data = rest.call("GET", "/v1/tenants/acme/prefixes/mood/versions/1/file", "acme").content
    for caller in ("acme", "operator", "acme"):
        assert rest.upload("acme/third", data, by=caller).status_code == 403
    queue = DeliveryQueue(rest.registry.database)
    until(lambda: queue.num_pending() > 0)  # emitted in the background
    (message,) = messages(rest)
    assert message["type"] == "quota.reached"
    assert message["data"]["tenant"] == "acme"
    assert message["data"]["limit"] == "max_prefixes"


def test_the_end_of_a_training_emits_an_event(rest: Rest) -> None:
    create(rest, "training.finished")
    store = training_store(Settings(store_folder=rest.folder), rest.registry.database)
    request = JobRequest("acme", "mood", "live", 0.0, {})
    failed, canceled = new_id(), new_id()
    for training in (failed, canceled):
        store.add(training, request)
    store.finish(store.find("acme", failed), "failed", problem={"code": "data_rejected"})
    store.cancel("acme", canceled)
    one, two = (message["data"] for message in messages(rest))
    assert (one["training"], one["state"]) == (failed, "failed")
    assert one["error"] == {"code": "data_rejected"}
    assert (two["training"], two["state"], two["task"]) == (canceled, "cancelled", "mood")


def test_the_eleventh_webhook_is_rejected(rest: Rest) -> None:
    for _ in range(10):
        create(rest, "alias.moved")
    body = {"url": "https://example.org/", "events": ["alias.moved"]}
    response = rest.call("POST", f"/v1{PATH}", "acme", json=body)
    assert (response.status_code, response.json()["code"]) == (409, "too_many_webhooks")
