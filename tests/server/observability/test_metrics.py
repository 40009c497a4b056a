import re

import pytest

from server.observability.metrics import Metrics
from tests.server.rest import Rest


@pytest.mark.anyio
async def test_a_batch_is_recorded_with_its_prefixes_and_its_times() -> None:
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
        "polyprefix_tokenize_seconds_sum 0.125",
        "polyprefix_tokens_total 70.0",
        'polyprefix_requests_total{route="/predict",status="200"} 1.0',
        'polyprefix_request_seconds_sum{route="/predict"} 0.75',
    ):
        assert f"\n{line}\n" in text


@pytest.mark.anyio
async def test_a_watched_value_is_read_at_each_export() -> None:
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
        "tokenize_seconds_count",
        "resident_prefixes",
        "resident_bytes",
        "resident_capacity_bytes",
    ):
        match = re.search(rf"^polyprefix_{name} (\S+)$", text, re.MULTILINE)
        assert match is not None, name
        assert float(match[1]) > 0, name


def test_labels_are_route_templates_so_clients_cannot_create_new_ones(rest: Rest) -> None:
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
    pages = {
        "/console",
        "/console/{screen:path}",
        "/console/static/{name:path}",
        "/console/session",
    }
    assert routes <= known | pages | {"unmatched", "/openapi.json", "/docs", "/docs/assets/{path}"}
    assert "unmatched" in routes
