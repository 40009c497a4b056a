"""Managing tenants, keys, limits, feedback, usage and the audit log with the client."""

import csv
import json
from datetime import UTC, datetime

import pytest

from polyprefix_client import Client, NotFound, PermissionDenied, to_json
from polyprefix_client.errors import PreconditionFailed
from prefixes.registry import UsageLog
from prefixes.registry.usage import UsageRow
from tests.client.conftest import ClientOf
from tests.server.rest import Rest


@pytest.fixture
def operator(client_of: ClientOf) -> Client:
    return client_of("operator")


def test_tenants_are_created_changed_suspended_and_deleted(operator: Client, acme: Client) -> None:
    made = operator.tenants.create("guest", is_public=True)
    assert (made.name, made.state, made.is_public) == ("guest", "active", True)
    assert not operator.tenants.set_public("guest", is_public=False).is_public
    assert operator.tenants.suspend("guest").state == "suspended"
    assert operator.tenants.resume("guest").state == "active"
    assert operator.tenants.delete("guest").state == "deleted"
    listed = {one.name: one.state for one in operator.tenants.list()}
    assert listed["guest"] == "deleted"
    assert operator.tenants.show("acme").state == "active"
    with pytest.raises(PermissionDenied) as denied:
        list(acme.tenants.list())
    assert denied.value.code == "role_required"


def test_keys_are_issued_listed_rotated_and_revoked(rest: Rest, acme: Client) -> None:
    key = acme.keys.create("acme", role="infer", label="test", expires_in_seconds=3600)
    assert (key.role, key.label, key.state) == ("infer", "test", "valid")
    assert key.key not in repr(key)
    with Client(rest.url, key.key) as guest:
        assert guest.classify("good", model="mood").label
    new = acme.keys.rotate("acme", key.id, overlap_seconds=0)
    assert acme.keys.show("acme", key.id).replaced_by == new.id
    acme.keys.revoke("acme", new.id)
    states = {one.id: one.state for one in acme.keys.list("acme")}
    assert (states[key.id], states[new.id]) == ("expired", "revoked")


def test_an_operators_keys_have_no_tenant(operator: Client) -> None:
    key = operator.keys.create(None, label="second")
    assert (key.tenant, key.role) == (None, "operator")
    operator.keys.revoke(None, key.id)
    assert key.id in {one.id for one in operator.keys.list(None)}


def test_limits_are_changed_only_in_the_state_that_was_seen(operator: Client) -> None:
    operator.tenants.create("bounded")
    before = operator.limits.show("bounded")
    changed = operator.limits.set("bounded", if_etag=before.etag, max_prefixes=5)
    assert changed.limits == {"max_prefixes": 5}
    assert changed.applied["max_prefixes"] == 5
    assert changed.stored is not None
    assert changed.stored.prefixes == 0
    with pytest.raises(PreconditionFailed):
        operator.limits.set("bounded", if_etag=before.etag, max_prefixes=6)
    assert operator.limits.set("bounded", max_prefixes=None).limits == {}
    key = operator.keys.create("bounded", role="infer")
    set_ = operator.limits.set("bounded", key.id, max_in_flight_texts="unlimited")
    assert set_.limits == {"max_in_flight_texts": "unlimited"}


def test_feedback_names_the_answer_by_its_result(acme: Client) -> None:
    acme.feedback.set("acme", is_enabled=True, retention_days=1)
    answer = acme.classify("a good film for feedback", model="mood")
    other = next(one.label for one in answer.scores if one.label != answer.label)
    given = acme.feedback.send(answer, label=other)
    assert (given.is_contradicted, given.model) == (True, "acme/mood@1")
    items = {one.request_id: one for one in acme.feedback.review("acme/mood")}
    item = items[answer.request_id]
    assert (item.reason, item.input) == ("contradicted", {"text": "a good film for feedback"})
    acme.feedback.send(item, label=other, is_review=True)
    assert answer.request_id not in {one.request_id for one in acme.feedback.review("acme/mood")}
    with pytest.raises(NotFound):
        acme.feedback.send("no-such-request", label=other)
    assert acme.feedback.settings("acme").num_with_feedback >= 1
    assert acme.feedback.delete("acme/mood") >= 1
    assert not acme.feedback.set("acme", is_enabled=False).is_enabled


def test_the_audit_log_is_read_in_pages_and_exported(operator: Client) -> None:
    operator.tenants.create("logged")
    newest = next(operator.audit.events())
    assert (newest.action, newest.object) == ("tenant.create", "logged")
    assert [one.object for one in operator.audit.events(tenant="logged")] == ["logged"]
    text = "".join(operator.audit.export("ndjson", tenant="logged"))
    assert json.loads(text)["object"] == "logged"
    past = datetime(2020, 1, 1, tzinfo=UTC)
    assert not list(operator.audit.events(until=past))
    assert to_json(newest)["at"] == newest.at.isoformat()


def test_usage_is_read_and_exported(rest: Rest, operator: Client) -> None:
    hours = [datetime(2026, 11, 29, hour, tzinfo=UTC) for hour in (9, 10)]
    rows = [UsageRow(hour, "zoo", "zoo/mood", 2, texts=3, key_id="a" * 12) for hour in hours]
    UsageLog(rest.registry.database).add(rows)
    found = list(operator.usage.rows("zoo"))
    assert [(one.hour, one.task, one.requests, one.texts) for one in found] == [
        (hour, "zoo/mood", 2, 3) for hour in hours
    ]
    assert [one.hour for one in operator.usage.rows(task="zoo/mood", since=hours[1])] == hours[1:]
    (of_key,) = operator.usage.rows("zoo", by="key", key_id="a" * 12, until=hours[1])
    assert (of_key.key_id, of_key.task, of_key.texts) == ("a" * 12, None, 3)
    header, *exported = csv.reader("".join(operator.usage.export("zoo")).splitlines())
    assert header[:3] == ["hour", "tenant", "task"]
    assert len(exported) == 2
    by_key = csv.DictReader("".join(operator.usage.export("zoo", by="key")).splitlines())
    assert {row["key_id"] for row in by_key} == {"a" * 12}
