import json
import logging
import re

import pytest

from server.observability.logs import JsonFormatter
from server.observability.metrics import Metrics
from tests.server.conftest import Serve
from tests.server.rest import Rest, until


def the_line(caplog: pytest.LogCaptureFixture) -> dict[str, object]:
    """The one line of requests, which is written when the answer is out already."""

    def lines() -> list[dict[str, object]]:
        return [
            json.loads(JsonFormatter().format(record))
            for record in caplog.records
            if record.name == "polyprefix.requests"
        ]

    until(lambda: bool(lines()))
    (line,) = lines()
    return line


@pytest.mark.anyio
async def test_a_batch_is_counted_with_its_mix_and_its_times() -> None:
    metrics = Metrics()
    metrics.batch_done(
        rows=5, tokens=70, distinct_prefixes=3, device_seconds=0.25, queue_seconds=[0.5, 0.25]
    )
    metrics.batch_failed()
    metrics.prefix_loaded(0.5)
    metrics.prefix_evicted()
    metrics.tokenized(0.125, 70, 7)
    metrics.request_done("/predict", 200, 0.75)
    text = (await metrics.exposition()).decode()
    for line in (
        "polyprefix_batch_rows_sum 5.0",
        "polyprefix_unknown_tokens_total 7.0",
        "polyprefix_batch_tokens_sum 70.0",
        "polyprefix_batch_distinct_prefixes_sum 3.0",
        "polyprefix_batch_device_seconds_sum 0.25",
        "polyprefix_request_queue_seconds_sum 0.75",
        "polyprefix_request_queue_seconds_count 2.0",
        "polyprefix_batches_split_total 1.0",
        "polyprefix_prefix_load_seconds_count 1.0",
        "polyprefix_prefix_evictions_total 1.0",
        "polyprefix_tokenise_seconds_sum 0.125",
        "polyprefix_tokens_total 70.0",
        'polyprefix_requests_total{route="/predict",status="200"} 1.0',
        'polyprefix_request_seconds_sum{route="/predict"} 0.75',
    ):
        assert f"\n{line}\n" in text


@pytest.mark.anyio
async def test_a_watched_value_is_read_when_metrics_are_asked_for() -> None:
    metrics = Metrics()
    values = [1.0, 2.0]
    metrics.watch("waiting_inputs", "Waiting.", lambda: values[-1])
    assert b"polyprefix_waiting_inputs 2.0" in await metrics.exposition()
    values.append(3.0)
    assert b"polyprefix_waiting_inputs 3.0" in await metrics.exposition()


def test_the_real_engine_reports_batches_and_residents(rest: Rest) -> None:
    body = {"model": "examples/mood", "input": ["good", "bad"]}
    assert rest.call("POST", "/v1/classify", json=body).status_code == 200
    text = rest.call("GET", "/metrics").text
    for name in (
        "batch_rows_count",
        "batch_distinct_prefixes_count",
        "batch_device_seconds_sum",
        "request_queue_seconds_count",
        "tokenise_seconds_count",
        "resident_prefixes",
        "resident_bytes",
        "resident_capacity_bytes",
    ):
        match = re.search(rf"^polyprefix_{name} (\S+)$", text, re.MULTILINE)
        assert match is not None, name
        assert float(match[1]) > 0, name


def test_labels_are_route_templates_so_that_senders_cannot_make_new_ones(rest: Rest) -> None:
    for path in (
        "/no/such/1",
        "/no/such/2",
        "/v1/tenants/t1/prefixes/x",
        "/v1/tenants/t2/prefixes/x",
    ):
        rest.call("GET", path)
    rest.call("BREW", "/livez")
    text = rest.call("GET", "/metrics").text
    routes = set(re.findall(r'polyprefix_requests_total\{route="([^"]*)"', text))
    known = set(rest.call("GET", "/openapi.json").json()["paths"])
    assert routes <= known | {"unmatched", "/openapi.json", "/docs", "/docs/assets/{path}"}
    assert "unmatched" in routes


def test_every_request_is_one_line_of_what_was_served_and_how_long(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    rest, _ = serve()
    caplog.set_level(logging.INFO, "polyprefix.requests")
    body = {"input": [{"model": "acme/mood", "text": "whisper"}] * 2}
    response = rest.call(
        "POST", "/v1/classify", "acme", json=body, headers={"X-Request-Id": "abc-1"}
    )
    assert response.headers["x-request-id"] == "abc-1"
    line = the_line(caplog)
    assert line["level"] == "info"
    duration = line.pop("duration_ms")
    assert isinstance(duration, float)
    assert {name: line[name] for name in line if name not in {"time", "level", "logger"}} == {
        "message": "request",
        "request_id": "abc-1",
        "method": "POST",
        "route": "/v1/classify",
        "status": 200,
        "tenant": "acme",
        "models": ["acme/mood@1"],
        "num_models": 1,
        "num_inputs": 2,
        "num_tokens": 8,
        "queue_ms": 1.0,
        "device_ms": 2.0,
    }


def test_no_log_line_holds_a_text_or_a_key(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    rest, engine = serve()
    caplog.set_level(logging.DEBUG)
    engine.failure = RuntimeError("boom")
    body = {"model": "acme/mood", "input": "whisper"}
    rest.call("POST", "/v1/classify", "acme", json=body)
    engine.failure = None
    rest.call("POST", "/v1/classify", "acme", json=body)
    rest.call("POST", "/v1/classify", "acme", json=body | {"input": ["whisper", 5]})
    until(lambda: "invalid_request" in " ".join(JsonFormatter().format(r) for r in caplog.records))
    ours = [
        JsonFormatter().format(record)
        for record in caplog.records
        if record.name.startswith(("polyprefix", "server", "uvicorn"))
    ]
    assert any("boom" in line for line in ours)
    for line in ours:
        assert "whisper" not in line
        assert rest.keys["acme"] not in line


def test_an_id_that_could_forge_log_lines_is_replaced(rest: Rest) -> None:
    for forged in ("a b", "x" * 65, '"},{"'):
        response = rest.call("GET", "/livez", headers={"X-Request-Id": forged})
        assert re.fullmatch(r"[0-9a-f]{32}", response.headers["x-request-id"])


def test_an_error_is_logged_with_its_code(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    rest, _ = serve()
    caplog.set_level(logging.INFO, "polyprefix.requests")
    rest.call("POST", "/v1/classify", json={"model": "examples/mood", "input": []})
    line = the_line(caplog)
    assert (line["status"], line["code"]) == (422, "input_rejected")


def test_a_key_that_is_sent_as_an_id_is_not_logged(
    rest: Rest, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "polyprefix.requests")
    key = rest.keys["acme"]
    for given, headers in (
        (key, {}),
        (f"id-{key}", {}),
        ("s3cret", {"Authorization": "Bearer s3cret"}),
    ):
        response = rest.call("GET", "/livez", headers={"X-Request-Id": given, **headers})
        assert re.fullmatch(r"[0-9a-f]{32}", response.headers["x-request-id"])
    until(lambda: len(caplog.records) >= 3)
    assert not any(
        key in JsonFormatter().format(record) or "s3cret" in JsonFormatter().format(record)
        for record in caplog.records
    )
    response = rest.call("GET", "/livez", headers={"X-Request-Id": "app_1"})
    assert response.headers["x-request-id"] == "app_1"
