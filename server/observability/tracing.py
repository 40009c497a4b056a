"""Tracing: OpenTelemetry spans of requests, and of the stages that each went through.

Only a server with `POLYPREFIX_TRACING` imports OpenTelemetry. The engine measures the stages
anyway. Their spans are created when it has answered, from these times, so that the process of the
engine needs no tracer.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from server.observability.logs import RequestRecord

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

_NANOSECONDS: Final = 1_000_000_000
_SERVICE: Final = "polyprefix"
_UNNAMED: Final = "unknown_service"
"""The beginning of the name that OpenTelemetry gives to a service without a name."""

_UNTRACED: Final = frozenset({
    "/livez", "/readyz", "/health", "/ping", "/metrics", "/v2/health/live", "/v2/health/ready",
})  # fmt: skip
"""Paths that orchestrators and Prometheus call every few seconds."""

_MAX_HEADER: Final = 512
"""Maximum length of `tracestate` that the standard asks of a receiver."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a request's way through the engine. `started_at` is of `time.perf_counter`."""

    name: str
    started_at: float
    seconds: float
    attributes: Mapping[str, int] = field(default_factory=dict)


class Tracing:
    """Creates the spans of requests, and exports them in the background."""

    def __init__(self, provider: "TracerProvider") -> None:
        self._provider = provider
        self._tracer = provider.get_tracer(_SERVICE)

    @classmethod
    def from_environment(cls, version: str) -> Self:
        """Export to the collector that the standard `OTEL_` variables name."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - slow to import, and optional
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - as above
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - as above

        resource = Resource.create({"service.version": version})
        if str(resource.attributes["service.name"]).startswith(_UNNAMED):
            resource = resource.merge(Resource({"service.name": _SERVICE}))
        # Not the global provider: FastAPI has instrumentation of its own, which uses that one.
        provider = TracerProvider(resource=resource)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        return cls(provider)

    def begin(self, method: str, path: str, headers: Mapping[str, str]) -> "RequestTrace | None":
        """Start the span of a request, within the caller's trace if it has one.

        Returns:
            None for paths that are not traced.
        """
        if path in _UNTRACED:
            return None
        from opentelemetry.propagate import extract  # noqa: PLC0415 - optional
        from opentelemetry.trace import SpanKind  # noqa: PLC0415 - optional

        span = self._tracer.start_span(method, extract(_bounded(headers)), SpanKind.SERVER)
        return RequestTrace(self._tracer, span)

    def close(self) -> None:
        """Export the spans that remain."""
        self._provider.shutdown()


def _bounded(headers: Mapping[str, str]) -> dict[str, str]:
    """Leave out headers of which OpenTelemetry would log a warning, with their whole value."""
    return {
        name: value
        for name, value in headers.items()
        if name != "baggage" and len(value) <= _MAX_HEADER
    }


class RequestTrace:
    """The span of one request, and those of its stages."""

    def __init__(self, tracer: "Tracer", span: "Span") -> None:
        self._tracer = tracer
        self._span = span

    @property
    def trace_id(self) -> str:
        """The id of the trace, as in the header `traceparent`."""
        return f"{self._span.get_span_context().trace_id:032x}"

    @property
    def is_recording(self) -> bool:
        """Whether the trace is in the share that is exported."""
        return self._span.is_recording()

    def add(self, stages: Iterable[Stage]) -> None:
        """Create the spans of stages that are over."""
        from opentelemetry.trace import set_span_in_context  # noqa: PLC0415 - optional

        context = set_span_in_context(self._span)
        now = time.time_ns() - round(time.perf_counter() * _NANOSECONDS)
        for stage in stages:
            start = now + round(stage.started_at * _NANOSECONDS)
            span = self._tracer.start_span(
                stage.name, context, attributes=stage.attributes, start_time=start
            )
            span.end(start + round(stage.seconds * _NANOSECONDS))

    def end(self, record: RequestRecord, status: int) -> None:
        """End the span of the request, with what its log line says."""
        from opentelemetry.trace import StatusCode  # noqa: PLC0415 - optional

        self._span.update_name(f"{record.method} {record.route}")
        self._span.set_attributes(_attributes(record, status))
        if status >= 500:
            self._span.set_status(StatusCode.ERROR, record.code)
        self._span.end()


def _attributes(record: RequestRecord, status: int) -> dict[str, str | int | tuple[str, ...]]:
    """Return attributes by the names of OpenTelemetry's conventions, and of our own."""
    found: dict[str, str | int | tuple[str, ...] | None] = {
        "http.request.method": record.method,
        "http.route": record.route,
        "http.response.status_code": status,
        "error.type": record.code,
        "polyprefix.request_id": record.request_id,
        "polyprefix.tenant": record.tenant,
        "polyprefix.models": record.models[:10] or None,
        "polyprefix.num_inputs": record.num_inputs or None,
        "polyprefix.num_tokens": record.num_tokens or None,
    }
    return {name: value for name, value in found.items() if value is not None}
