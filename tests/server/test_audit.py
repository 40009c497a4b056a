"""The audit log over HTTP."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from prefixes.errors import ActingKeyInvalid
from prefixes.registry import Actor, audit
from server.job_ids import new_id
from server.settings import Settings
from server.training_jobs.records import JobRequest
from server.training_jobs.store import training_store
from tests.server.conftest import Serve
from tests.server.management import issue, manage
from tests.server.rest import Rest


@pytest.fixture
def rest(serve: Serve) -> Rest:
    return serve()[0]


def test_a_tenant_called_operator_has_no_rights_of_operators(rest: Rest) -> None:
    manage(rest, "POST", "/tenants", json={"name": "operator"})
    rest.keys["tenant operator"] = issue(rest, "operator", "admin")["key"]
    assert rest.call("GET", "/v1/tenants", "tenant operator").status_code == 403
    made = manage(rest, "POST", "/tenants/operator/keys", "tenant operator", json={"role": "infer"})
    (event,) = manage(rest, "GET", f"/audit?object={made['id']}")["events"]
    assert event["actor"] == "operator"
    (other,) = manage(rest, "GET", "/audit?action=tenant.create&object=operator")["events"]
    assert other["actor"] == f"operator {rest.keys['operator'].split('_')[1]}"


def start_training(rest: Rest) -> str:
    """Queue a training of acme, which no server runs, and return its id."""
    training: str = manage(
        rest,
        "POST",
        "/tenants/acme/trainings",
        "acme",
        data={"task": "new"},
        files={"file": ("rows.jsonl", b'{"text": "a", "label": "b"}\n')},
    )["id"]
    return training


def changes(rest: Rest) -> Iterator[tuple[str, str]]:
    """Make one change of each kind over HTTP; gives its action and its object."""
    data = rest.call("GET", "/v1/tenants/acme/prefixes/mood/versions/1/file", "acme").content
    manage(rest, "POST", "/tenants", json={"name": "shop"})
    yield "tenant.create", "shop"
    manage(rest, "PATCH", "/tenants/acme", json={"is_public": True})
    yield "tenant.update", "acme"
    manage(rest, "POST", "/tenants/zoo/suspend")
    yield "tenant.suspend", "zoo"
    manage(rest, "POST", "/tenants/zoo/resume")
    yield "tenant.resume", "zoo"
    manage(rest, "DELETE", "/tenants/zoo")
    yield "tenant.delete", "zoo"
    key_id = issue(rest, "acme")["id"]
    yield "key.issue", key_id
    manage(rest, "POST", f"/tenants/acme/keys/{key_id}/rotate", json={})
    yield "key.rotate", key_id
    manage(rest, "DELETE", f"/tenants/acme/keys/{key_id}")
    yield "key.revoke", key_id
    assert rest.upload("acme/new", data, by="acme").status_code == 201
    yield "version.publish", "acme/new@1"
    training = start_training(rest)
    yield "training.start", training
    manage(rest, "POST", f"/tenants/acme/trainings/{training}/cancel", "acme")
    yield "training.cancel", training
    path = "/tenants/acme/prefixes/new"
    manage(rest, "PUT", f"{path}/aliases/trial", "acme", json={"version": 1})
    yield "alias.move", "acme/new:trial"
    manage(rest, "PUT", f"{path}/readers/zoo", "acme")
    yield "prefix.share", "acme/new"
    manage(rest, "DELETE", path, "acme")
    yield "prefix.delete", "acme/new"


def test_every_change_writes_an_event_with_key_and_request(rest: Rest) -> None:
    for action, changed in changes(rest):
        (event, *_) = manage(rest, "GET", f"/audit?action={action}")["events"]
        assert (event["action"], event["object"]) == (action, changed)
        assert event["key_id"] in {key.split("_")[1] for key in rest.keys.values()}
        assert event["request_id"]
        assert event["actor"] in {"acme", f"operator {event['key_id']}"}
    (changed,) = manage(rest, "GET", "/audit?action=tenant.update&tenant=acme")["events"]
    assert (changed["before"], changed["after"]) == ({"is_public": False}, {"is_public": True})


def test_a_rejected_change_writes_no_event(rest: Rest) -> None:
    before = manage(rest, "GET", "/audit")
    rest.call("PUT", "/v1/tenants/acme/prefixes/mood/aliases/x", "acme", json={"version": 9})
    rest.call("DELETE", "/v1/tenants/acme/prefixes/mood/versions/1", "acme")
    assert manage(rest, "GET", "/audit") == before


def test_an_admin_sees_the_events_of_its_tenant_alone(rest: Rest) -> None:
    list(changes(rest))
    seen = manage(rest, "GET", "/audit?limit=1000", "acme")["events"]
    assert {event["tenant"] for event in seen} == {"acme"}
    for other in ("zoo", "nobody"):
        assert manage(rest, "GET", f"/audit?tenant={other}", "acme")["events"] == []
    assert manage(rest, "GET", "/audit?tenant=zoo")["events"]


def test_a_new_tenant_does_not_see_the_events_of_an_earlier_one_of_its_name(rest: Rest) -> None:
    manage(rest, "POST", "/tenants", json={"name": "again"})
    issue(rest, "again", label="secret project")
    manage(rest, "DELETE", "/tenants/again")
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert rest.registry.purge_tenant("again", before=tomorrow, by=Actor("retention"))
    manage(rest, "POST", "/tenants", json={"name": "again"})
    rest.keys["again"] = issue(rest, "again", "admin")["key"]
    seen = [event["action"] for event in manage(rest, "GET", "/audit", "again")["events"]]
    assert seen == ["key.issue", "tenant.create"]
    exported = rest.call("GET", "/v1/audit/export", "again").text
    assert "secret project" not in exported
    assert "secret project" in rest.call("GET", "/v1/audit/export?tenant=again", "operator").text


@pytest.mark.parametrize("route", ["/v1/audit", "/v1/audit/export"])
@pytest.mark.parametrize(
    "query",
    [
        "since=0001-01-01T00:00:00%2B14:00",
        "until=9999-12-31T23:59:59-14:00",
        "since=0",
        "until=-1.5",
        "until=-7.5e-72",
    ],
)
def test_times_that_utc_does_not_have_and_numbers_are_rejected(
    rest: Rest, route: str, query: str
) -> None:
    assert rest.call("GET", f"{route}?{query}", "operator").status_code == 422


def test_pages_of_events_have_each_event_once(rest: Rest) -> None:
    list(changes(rest))
    everything = manage(rest, "GET", "/audit?limit=1000&tenant=acme")["events"]
    found, path = [], "/audit?limit=2&tenant=acme"
    while path:
        page = manage(rest, "GET", path)
        found += page["events"]
        path = (page["next"] or "").removeprefix("/v1")
    assert found == everything
    middle = everything[3]["at"]
    params = {"since": middle, "tenant": "acme", "limit": 1000}
    since = manage(rest, "GET", "/audit", params=params)["events"]
    assert since == everything[: len(since)]
    assert since[-1]["at"] == middle


def test_an_export_is_cut_off_when_its_key_is_revoked(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_PAGE", 1)
    for _ in range(200):
        issue(rest, "acme", label="x" * 200)
    made = issue(rest, "acme", "admin")
    headers = {"Authorization": f"Bearer {made['key']}"}
    with httpx.stream("GET", f"{rest.url}/v1/audit/export", headers=headers) as response:
        pieces = response.iter_bytes(200)
        next(pieces)
        manage(rest, "DELETE", f"/tenants/acme/keys/{made['id']}")
        with pytest.raises(httpx.RemoteProtocolError):
            list(pieces)


def test_a_training_cannot_be_started_or_canceled_with_a_key_that_became_invalid(
    rest: Rest,
) -> None:
    training = start_training(rest)
    key_id = issue(rest, "acme", "upload")["id"]
    manage(rest, "DELETE", f"/tenants/acme/keys/{key_id}")
    late = Actor("acme", key_id, "late")
    store = training_store(Settings(store_folder=rest.folder), rest.registry.database)
    with pytest.raises(ActingKeyInvalid):
        store.cancel("acme", training, by=late)
    with pytest.raises(ActingKeyInvalid):
        store.add(new_id(), JobRequest("acme", "new", "live", 0.0, {}), by=late)
    assert [one.state for one in store.list("acme", before=None, limit=9)] == ["queued"]


def test_the_removal_of_a_training_is_recorded(rest: Rest) -> None:
    training = start_training(rest)
    store = training_store(Settings(store_folder=rest.folder), rest.registry.database)
    store.cancel("acme", training)
    store.remove([training])
    (event,) = manage(rest, "GET", "/audit?action=training.delete", "acme")["events"]
    assert (event["object"], event["actor"]) == (training, "retention")
    assert event["before"] == {"task": "new", "state": "cancelled"}


def test_events_are_exported_as_csv_and_ndjson(rest: Rest) -> None:
    list(changes(rest))
    events = manage(rest, "GET", "/audit?limit=1000", "acme")["events"]
    lines = rest.call("GET", "/v1/audit/export?format=ndjson", "acme")
    assert [json.loads(line) for line in lines.text.splitlines()] == events
    table = rest.call("GET", "/v1/audit/export", "acme")
    assert table.headers["content-type"].startswith("text/csv")
    assert table.text.splitlines()[0].startswith("id,at,actor,key_id,request_id,tenant,action")
    assert len(table.text.splitlines()) == len(events) + 1
