"""Usage over HTTP, of a server with the real engine."""

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from prefixes.backbone import Backbone
from prefixes.registry import UsageLog, open_registry
from prefixes.registry.usage import UsageFilter, UsageRow
from tests.server.management import manage
from tests.server.rest import Rest, serving

HOUR = datetime(2026, 11, 29, 9, tzinfo=UTC)


@pytest.fixture
def rest(backbone: Backbone, tmp_path: Path) -> Iterator[Rest]:
    with serving(tmp_path, backbone) as running:
        yield running


@pytest.fixture
def stored(rest: Rest) -> list[UsageRow]:
    """Rows of two tenants and of anonymous callers, in the order of lists."""
    rows = [
        UsageRow(HOUR + timedelta(hours=hour), tenant, task, 1, 2, 30, 0.1234567, 4.0, tenant)
        for hour in range(3)
        for tenant, task in (
            (None, "examples/mood"),
            ("acme", "acme/mood"),
            ("acme", "acme/pair"),
            ("zoo", "zoo/secret"),
        )
    ]
    UsageLog(rest.registry.database).add(rows)
    return rows


def classify(rest: Rest, caller: str | None, inputs: list[Any], **body: Any) -> Any:
    response = rest.call("POST", "/v1/classify", caller, json={"input": inputs, **body})
    return response.status_code, response.json()


def test_requests_texts_and_tokens_are_counted_for_their_caller_and_task(
    backbone: Backbone, tmp_path: Path
) -> None:
    mixed = [{"model": "acme/mood", "text": "good"}, {"model": "examples/mood", "text": "bad film"}]
    with serving(tmp_path, backbone) as rest:
        _, one = classify(rest, "acme", ["good film"] * 3, model="acme/mood")
        _, two = classify(rest, "acme", mixed)
        _, anonymous = classify(rest, None, ["bad"], model="examples/mood")
        assert classify(rest, "acme", ["bad"], model="acme/none")[0] == 404
        assert classify(rest, "zoo", [{"wrong": "field"}], model="examples/mood")[0] == 422
    registry = open_registry(tmp_path)  # the server wrote its usage as it stopped
    rows = UsageLog(registry.database).list(UsageFilter(), limit=9)
    by_key = UsageLog(registry.database).list(UsageFilter(by="key"), limit=9)
    registry.close()
    found = {(row.tenant, row.task): row for row in rows}
    assert found.keys() == {
        ("acme", "acme/mood"), ("acme", "examples/mood"), (None, "examples/mood"),
    }  # fmt: skip
    counts = {key: (row.requests, row.texts) for key, row in found.items()}
    assert counts == {
        ("acme", "acme/mood"): (2, 4),
        ("acme", "examples/mood"): (1, 1),
        (None, "examples/mood"): (1, 1),
    }
    responses = (one, two, anonymous)
    assert sum(row.tokens for row in found.values()) == sum(r["usage"]["tokens"] for r in responses)
    assert all(row.device_seconds > 0 for row in found.values())
    (of_key,) = by_key
    assert (of_key.tenant, of_key.requests, of_key.texts) == ("acme", 3, 5)


def test_an_admin_sees_the_usage_of_its_tenant_and_an_operator_all(
    rest: Rest, stored: list[UsageRow]
) -> None:
    own = manage(rest, "GET", "/tenants/acme/usage", "acme")
    assert {entry["tenant"] for entry in own["usage"]} == {"acme"}
    assert (len(own["usage"]), own["next"]) == (6, None)
    assert own["usage"][0] == {
        "hour": "2026-11-29T09:00:00Z",
        "tenant": "acme",
        "task": "acme/mood",
        "requests": 1,
        "texts": 2,
        "tokens": 30,
        "device_seconds": 0.123457,
        "training_cpu_seconds": 4.0,
        "key_id": None,
    }
    everything = manage(rest, "GET", "/usage")["usage"]
    assert [entry["tenant"] for entry in everything] == [row.tenant for row in stored]
    assert rest.call("GET", "/v1/tenants/nobody/usage", "operator").status_code == 404


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("task=acme/pair", 3),
        ("since=2026-11-29T10:00:00Z", 4),
        ("until=2026-11-29T11:00:00%2B01:00", 2),
        ("since=2026-11-29T10:00:00Z&until=2026-11-29T11:00:00Z&task=acme/mood", 1),
    ],
)
def test_usage_is_filtered_by_task_and_time(
    rest: Rest, stored: list[UsageRow], query: str, expected: int
) -> None:
    assert len(manage(rest, "GET", f"/tenants/acme/usage?{query}", "acme")["usage"]) == expected


def test_usage_is_shown_for_each_key(rest: Rest, stored: list[UsageRow]) -> None:
    page = manage(rest, "GET", "/usage?by=key&limit=2")
    first, second = page["usage"]
    assert (first["tenant"], first["key_id"], first["task"]) == ("acme", "acme", None)
    assert (first["texts"], second["key_id"]) == (4, "zoo")
    following = rest.call("GET", page["next"], "operator").json()["usage"]
    assert [entry["key_id"] for entry in following] == ["acme", "zoo"]
    own = manage(rest, "GET", "/tenants/acme/usage?by=key&key_id=acme", "acme")["usage"]
    assert len(own) == 3
    exported = rest.call("GET", "/v1/usage/export?by=key&key_id=zoo", "operator").text
    assert {row["key_id"] for row in csv.DictReader(exported.splitlines())} == {"zoo"}


@pytest.mark.parametrize(
    ("query", "parameter"), [("by=key&task=a/b", "task"), ("key_id=a", "key_id"), ("by=hour", "by")]
)
def test_a_filter_that_rows_do_not_have_is_rejected(rest: Rest, query: str, parameter: str) -> None:
    response = rest.call("GET", f"/v1/usage?{query}", "operator")
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == parameter


def test_pages_of_usage_have_each_row_once(rest: Rest, stored: list[UsageRow]) -> None:
    found: list[dict[str, Any]] = []
    path: str | None = "/v1/usage?limit=5&since=2026-11-29T10:00:00Z"
    while path is not None:
        page = rest.call("GET", path, "operator").json()
        assert len(page["usage"]) <= 5
        found += page["usage"]
        path = page["next"]
    later = [row for row in stored if row.hour > HOUR]
    assert [(entry["tenant"], entry["task"]) for entry in found] == [
        (row.tenant, row.task) for row in later
    ]


@pytest.mark.parametrize("after", ["x", "2026112909/acme/t", "99999999T99/a/b", "", "20261129T09"])
def test_a_place_that_no_page_has_ended_at_is_rejected_or_harmless(rest: Rest, after: str) -> None:
    response = rest.call("GET", "/v1/usage", "operator", params={"after": after})
    assert response.status_code == (200 if after == "20261129T09" else 422), response.text


def test_usage_is_exported_as_csv_and_ndjson(rest: Rest, stored: list[UsageRow]) -> None:
    listed = manage(rest, "GET", "/usage")["usage"]
    lines = rest.call("GET", "/v1/usage/export?format=ndjson", "operator").text.splitlines()
    assert [json.loads(line) for line in lines] == listed
    response = rest.call("GET", "/v1/tenants/acme/usage/export", "acme")
    assert response.headers["content-type"].startswith("text/csv")
    table = list(csv.DictReader(response.text.splitlines()))
    assert [row["task"] for row in table] == ["acme/mood", "acme/pair"] * 3
    assert float(table[0]["device_seconds"]) == 0.123457
