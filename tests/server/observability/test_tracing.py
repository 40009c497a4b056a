"""Traces, with the real SDK of OpenTelemetry: in memory, and exported to a receiver over HTTP."""

import itertools
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanContext

from prefixes import PrefixRef
from prefixes.backbone import Backbone
from server.api.stages import stages_of
from server.batching.timings import BatchSize, Timings
from server.engine.values import InferenceResult
from server.observability.logs import JsonFormatter
from server.observability.tracing import Tracing
from server.settings import InvalidSettings, Settings, observability
from tests.factories import make_prefix, make_spec
from tests.server.hosting.processes import client, front_ends, server_process, store, upload
from tests.server.rest import Rest, serving, until

__all__ = ["front_ends", "store"]

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01"}
BODY = {"model": "acme/mood", "input": "good"}


@pytest.fixture
def traced(
    _traced: tuple[Rest, InMemorySpanExporter],
) -> tuple[Rest, InMemorySpanExporter]:
    """A server whose spans stay in memory, without those of earlier tests."""
    _traced[1].clear()
    return _traced


@pytest.fixture(scope="module")
def _traced(
    backbone: Backbone, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Rest, InMemorySpanExporter]]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    folder = tmp_path_factory.mktemp("traced")
    with serving(folder, backbone, tracer=Tracing(provider)) as running:
        yield running, exporter


def spans_of(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    """The spans of the one request with a name, in the order of their start; then forget all."""
    until(lambda: any(span.name == name for span in exporter.get_finished_spans()))
    found = sorted(exporter.get_finished_spans(), key=lambda span: span.start_time or 0)
    exporter.clear()
    assert [span.name for span in found].count(name) == 1
    return found


def context_of(span: ReadableSpan) -> SpanContext:
    context = span.get_span_context()
    assert context is not None
    return context


def test_a_request_has_spans_of_its_stages(traced: tuple[Rest, InMemorySpanExporter]) -> None:
    rest, exporter = traced
    sent = {"X-Request-Id": "abc-1", **PARENT}
    assert rest.call("POST", "/v1/classify", "acme", json=BODY, headers=sent).status_code == 200
    spans = spans_of(exporter, "POST /v1/classify")
    assert [span.name for span in spans] == ["POST /v1/classify", "tokenize", "queue", "forward"]
    request, tokenize, queue, forward = spans
    assert {f"{context_of(span).trace_id:032x}" for span in spans} == {TRACE_ID}
    assert request.parent is not None
    assert f"{request.parent.span_id:016x}" == "b7ad6b7169203331"
    own = context_of(request).span_id
    for stage in (tokenize, queue, forward):
        assert stage.parent is not None
        assert stage.parent.span_id == own
    assert dict(request.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/v1/classify",
        "http.response.status_code": 200,
        "polyprefix.request_id": "abc-1",
        "polyprefix.tenant": "acme",
        "polyprefix.models": ("acme/mood@1",),
        "polyprefix.num_inputs": 1,
        "polyprefix.num_tokens": forward.attributes["polyprefix.batch.tokens"],  # type: ignore[index]
    }
    assert forward.attributes["polyprefix.batch.rows"] == 1  # type: ignore[index]
    assert forward.attributes["polyprefix.batch.distinct_prefixes"] == 1  # type: ignore[index]


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01"},
        {"traceparent": f"ff-{TRACE_ID}-b7ad6b7169203331-01"},
        {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01" + "0" * 20_000},
        {"traceparent": f"00-{TRACE_ID[:-1]}\u00e9-b7ad6b7169203331-01".encode("latin-1")},
        {"traceparent": "-" * 30_000},
    ],
    ids=["zeros", "version", "long", "character", "dashes"],
)
def test_an_invalid_parent_begins_a_new_trace(
    traced: tuple[Rest, InMemorySpanExporter], headers: dict[str, Any]
) -> None:
    rest, exporter = traced
    answer = rest.call("POST", "/v1/classify", "acme", json=BODY, headers=headers)
    assert answer.status_code == 200
    (request, *_) = spans_of(exporter, "POST /v1/classify")
    assert request.parent is None
    assert f"{context_of(request).trace_id:032x}" != TRACE_ID


@pytest.mark.parametrize(
    "state",
    [
        "a=" + "b" * 30_000,
        ",".join(f"k{number}=v" for number in range(5000)),
        "=" + " " * 30_000 + "=,",
    ],
    ids=["value", "members", "spaces"],
)
def test_a_hostile_state_of_a_trace_is_dropped(
    traced: tuple[Rest, InMemorySpanExporter], state: str
) -> None:
    rest, exporter = traced
    headers = {**PARENT, "tracestate": state, "baggage": state}
    answer = rest.call("POST", "/v1/classify", "acme", json=BODY, headers=headers)
    assert answer.status_code == 200
    (request, *_) = spans_of(exporter, "POST /v1/classify")
    assert f"{context_of(request).trace_id:032x}" == TRACE_ID
    assert len(context_of(request).trace_state) <= 32


def test_stages_follow_one_another_within_the_request(
    traced: tuple[Rest, InMemorySpanExporter],
) -> None:
    rest, exporter = traced
    rest.call("POST", "/v1/classify", "acme", json=BODY)
    request, *stages = spans_of(exporter, "POST /v1/classify")
    bounds = [(span.start_time or 0, span.end_time or 0) for span in (*stages, request)]
    assert all(start <= end for start, end in bounds)
    for (_, end), (start, _) in itertools.pairwise(bounds[:3]):
        assert abs(end - start) <= 2_000  # nanoseconds, for rounding
    *_, (request_start, request_end) = bounds
    assert request_start - 1_000_000 <= bounds[0][0]
    assert bounds[2][1] <= request_end + 1_000_000


def test_texts_of_several_batches_have_a_span_for_each_batch(backbone: Backbone) -> None:
    ref, digest, spec = PrefixRef("acme", "mood", 1), "0" * 64, make_spec(backbone.fingerprint)
    together, alone = BatchSize(2, 9, 1), BatchSize(1, 7, 1)
    results = [
        InferenceResult(ref, digest, spec, ("good",), (), (), timings)
        for timings in (
            Timings(0.5, 0.25, 0.125, 10.0, together),
            Timings(0.5, 0.25, 0.125, 10.0, together),
            Timings(0.75, 0.25, 0.125, 10.25, alone),
        )
    ]
    stages = [(stage.name, stage.started_at, stage.seconds) for stage in stages_of(results)]
    assert stages == [
        ("tokenize", 9.375, 0.125),
        ("queue", 9.5, 0.5),
        ("queue", 9.5, 0.75),
        ("forward", 10.0, 0.25),
        ("forward", 10.25, 0.25),
    ]


def test_a_failed_request_has_its_code_and_no_stages(
    traced: tuple[Rest, InMemorySpanExporter],
) -> None:
    rest, exporter = traced
    body = {"model": "acme/nothing", "input": "good"}
    assert rest.call("POST", "/v1/classify", "acme", json=body).status_code == 404
    (request,) = spans_of(exporter, "POST /v1/classify")
    attributes = request.attributes or {}
    assert attributes["error.type"] == "prefix_not_found"
    assert attributes["polyprefix.models"] == ("acme/nothing:live",)
    assert request.status.is_unset  # the server did nothing wrong


def test_an_error_of_the_server_marks_the_span(
    traced: tuple[Rest, InMemorySpanExporter], monkeypatch: pytest.MonkeyPatch
) -> None:
    rest, exporter = traced

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the bug")

    monkeypatch.setattr(rest.app.state.services.registry, "list_prefixes", fail)
    assert rest.call("GET", "/v1/models", "acme").status_code == 500
    (request,) = spans_of(exporter, "GET /v1/models")
    assert not request.status.is_ok
    assert not request.status.is_unset


def test_health_and_metrics_are_not_traced(traced: tuple[Rest, InMemorySpanExporter]) -> None:
    rest, exporter = traced
    for path in ("/livez", "/readyz", "/metrics", "/v2/health/live", "/v1/models"):
        rest.call("GET", path)
    (only,) = spans_of(exporter, "GET /v1/models")
    assert only.name == "GET /v1/models"


def test_the_line_of_the_log_names_the_trace(
    traced: tuple[Rest, InMemorySpanExporter], caplog: pytest.LogCaptureFixture
) -> None:
    rest, _ = traced
    caplog.set_level(logging.INFO, "polyprefix.requests")
    rest.call("POST", "/v1/classify", "acme", json=BODY, headers=PARENT)
    until(lambda: any(record.name == "polyprefix.requests" for record in caplog.records))
    (record,) = (one for one in caplog.records if one.name == "polyprefix.requests")
    assert json.loads(JsonFormatter().format(record))["trace_id"] == TRACE_ID


def test_an_unsampled_request_creates_no_spans_of_stages(
    backbone: Backbone, tmp_path: Path
) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=ALWAYS_OFF)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with serving(tmp_path, backbone, tracer=Tracing(provider)) as rest:
        assert rest.call("POST", "/v1/classify", "acme", json=BODY).status_code == 200
    assert exporter.get_finished_spans() == ()


@contextmanager
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """A receiver of OTLP over HTTP; gives its URL, and the requests that it got."""
    received: list[ExportTraceServiceRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/traces"
            received.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", received
        finally:
            server.shutdown()
            thread.join()


def names_of(received: list[ExportTraceServiceRequest]) -> list[str]:
    return [
        span.name
        for request in list(received)
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def test_a_server_exports_to_the_collector_of_the_standard_variables(
    backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collector() as (url, received):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        with serving(tmp_path, backbone, tracing=True) as rest:
            assert rest.call("POST", "/v1/classify", "acme", json=BODY).status_code == 200
        # All spans are exported when the server has stopped.
        assert sorted(names_of(received)) == ["POST /v1/classify", "forward", "queue", "tokenize"]
        resource = {
            one.key: one.value.string_value
            for one in received[0].resource_spans[0].resource.attributes
        }
    assert resource["service.name"] == "polyprefix"
    assert resource["deployment.environment.name"] == "test"
    assert resource["service.version"]


def test_a_service_may_have_another_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "prefixes-eu")
    tracing = Tracing.from_environment("1")
    try:
        assert tracing._provider.resource.attributes["service.name"] == "prefixes-eu"
    finally:
        tracing.close()


def test_a_server_process_exports_its_spans_when_it_stops(
    store: tuple[Path, str],
    backbone: Backbone,
    backbone_folder: Path,
    front_ends: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, key = store
    flags = ("--backbone", str(backbone_folder), *front_ends)
    with collector() as (url, received):
        monkeypatch.setenv("POLYPREFIX_TRACING", "true")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        with server_process(folder, *flags) as (process, address), client(address, key) as sender:
            data = make_prefix(backbone.fingerprint).to_bytes()
            assert upload(sender, "mood", data).status_code == 201
            assert sender.post("/v1/classify", json=BODY).status_code == 200
            sender.close()
            process.terminate()
            assert process.wait(60) == 0
        names = names_of(received)
    assert [name for name in names if "/" not in name] == ["tokenize", "queue", "forward"]
    assert "POST /v1/classify" in names


def test_a_setting_without_the_packages_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observability, "_PACKAGES", ("opentelemetry.no_such.part",))
    with pytest.raises(InvalidSettings, match=r"Install polyprefix\[tracing\]"):
        Settings.load(tracing=True)
    assert not Settings.load().tracing


def test_another_protocol_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(InvalidSettings, match=r"exported as http/protobuf, but .* is 'grpc'"):
        Settings.load(tracing=True)


def test_a_server_without_traces_does_not_import_the_sdk() -> None:
    code = (
        "import sys, server.hosting.assembly, server.hosting.front_ends.front_end;"
        "print([name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
