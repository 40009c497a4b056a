"""Formats of exported audit events: CSV and JSON lines."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from prefixes.registry import AuditEvent
from server.api.exports import ExportFormat, csv_text
from server.api.tenant_schemas import AuditRecord

_FIELDS: Final = tuple(AuditRecord.model_fields)


def audit_lines(pages: Iterable[Iterable[AuditEvent]], kind: ExportFormat) -> Iterator[str]:
    """Format pages of events, one event in each line. CSV begins with the names of the fields."""
    if kind == "csv":
        yield csv_text([_FIELDS])
    for page in pages:
        if kind == "csv":
            yield csv_text(tuple(_cells(event)) for event in page)
        else:
            yield "".join(record_of(event).model_dump_json() + "\n" for event in page)


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
