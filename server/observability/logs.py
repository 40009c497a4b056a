"""Logs: JSON lines on standard error, with one line for each request.

No text, key or tensor is ever logged.
"""

import json
import logging
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from server.observability.tracing import RequestTrace

_log = logging.getLogger("polyprefix.requests")

_MAX_LOGGED_MODELS: Final = 10


@dataclass(slots=True)
class RequestRecord:
    """The fields of one request's log line. Handlers fill them in as they learn them."""

    request_id: str
    method: str
    started: float = field(default_factory=time.perf_counter)
    route: str = "unmatched"
    tenant: str | None = None
    key_id: str | None = None
    models: tuple[str, ...] = ()
    num_inputs: int = 0
    num_tokens: int = 0
    queue_ms: float = 0.0
    device_ms: float = 0.0
    code: str | None = None
    limit: str | None = None
    trace: "RequestTrace | None" = None

    @property
    def seconds(self) -> float:
        """Time since the request began."""
        return time.perf_counter() - self.started

    def write(self, status: int) -> None:
        """Write the log line. Called once, after the last byte of the response."""
        fields: dict[str, Any] = {
            "request_id": self.request_id,
            "method": self.method,
            "route": self.route,
            "status": status,
            "duration_ms": round(self.seconds * 1000, 3),
            "tenant": self.tenant,
            "key_id": self.key_id,
        }
        if self.trace is not None:
            fields["trace_id"] = self.trace.trace_id
        if self.code is not None:
            fields["code"] = self.code
        if self.limit is not None:
            fields["limit"] = self.limit
        if self.num_inputs:
            fields |= {
                "models": self.models[:_MAX_LOGGED_MODELS],
                "num_models": len(self.models),
                "num_inputs": self.num_inputs,
            }
        if self.num_tokens:  # it was answered
            fields |= {
                "num_tokens": self.num_tokens,
                "queue_ms": round(self.queue_ms, 3),
                "device_ms": round(self.device_ms, 3),
            }
        _log.info("request", extra={"fields": fields})


class JsonFormatter(logging.Formatter):
    """Formats each log record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).astimezone()  # local, with offset
        line: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure_logging() -> None:
    """Write all log lines of this process to standard error, as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
