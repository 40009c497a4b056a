"""Formats of exported audit events: CSV and JSON lines."""

import csv
import io
import json
from collections.abc import Iterable
from typing import Any, Final, Literal

from prefixes.registry import AuditEvent
from server.api.tenant_schemas import AuditRecord

ExportFormat = Literal["csv", "ndjson"]

_FIELDS: Final = tuple(AuditRecord.model_fields)


def header_of(kind: ExportFormat) -> str:
    """Return the first line of an export; JSON lines have none."""
    return _csv([_FIELDS]) if kind == "csv" else ""


def lines_of(events: Iterable[AuditEvent], kind: ExportFormat) -> str:
    """Format events, one in each line."""
    if kind == "csv":
        return _csv(tuple(_cells(event)) for event in events)
    return "".join(record_of(event).model_dump_json() + "\n" for event in events)


def record_of(event: AuditEvent) -> AuditRecord:
    """Convert an event to its wire model."""
    fields: dict[str, Any] = {name: getattr(event, name) for name in _FIELDS}
    for name in ("before", "after"):
        fields[name] = None if fields[name] is None else json.loads(fields[name])
    return AuditRecord(**fields)


def _cells(event: AuditEvent) -> Iterable[str]:
    for name in _FIELDS:
        value = getattr(event, name)
        yield value.isoformat() if name == "at" else "" if value is None else str(value)


def _csv(rows: Iterable[Iterable[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
