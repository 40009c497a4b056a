"""Formats of usage: its wire models, CSV and JSON lines."""

from collections.abc import Iterable, Iterator
from typing import Final

from pydantic import AwareDatetime, Field

from prefixes.registry.usage import UsageRow
from server.api.exports import ExportFormat, csv_text
from server.api.schemas import WireResponse

_DECIMALS: Final = 6


class UsageRecord(WireResponse):
    hour: AwareDatetime = Field(description="Beginning of the hour, in UTC.")
    tenant: str | None = Field(
        description="The caller's tenant; null for anonymous callers and operators."
    )
    task: str | None = Field(
        description="`owner/task`, or `*` for tasks that were not told apart. Null by key."
    )
    requests: int = Field(description="Requests that were answered.")
    texts: int = Field(description="Texts that the device ran.")
    tokens: int = Field(description="Tokens of these texts.")
    device_seconds: float = Field(description="Their share of the time of their batches.")
    training_cpu_seconds: float = Field(description="CPU time of trainings that finished.")
    key_id: str | None = Field(description="The id of the key. Null by task.")


class UsagePage(WireResponse):
    usage: list[UsageRecord]
    next: str | None = Field(description="Path of the next page.")


_FIELDS: Final = tuple(UsageRecord.model_fields)


def usage_lines(pages: Iterable[Iterable[UsageRow]], kind: ExportFormat) -> Iterator[str]:
    """Format pages of rows, one row in each line. CSV begins with the names of the fields."""
    if kind == "csv":
        yield csv_text([_FIELDS])
    for page in pages:
        records = [usage_record(row) for row in page]
        if kind == "csv":
            yield csv_text(tuple(_cells(record)) for record in records)
        else:
            yield "".join(record.model_dump_json() + "\n" for record in records)


def usage_record(row: UsageRow) -> UsageRecord:
    """Convert a row to its wire model."""
    return UsageRecord(
        hour=row.hour,
        tenant=row.tenant,
        task=row.task,
        requests=row.requests,
        texts=row.texts,
        tokens=row.tokens,
        device_seconds=round(row.device_seconds, _DECIMALS),
        training_cpu_seconds=round(row.training_cpu_seconds, _DECIMALS),
        key_id=row.key_id,
    )


def _cells(record: UsageRecord) -> Iterable[str]:
    fields = record.model_dump(mode="json")
    return ("" if fields[name] is None else str(fields[name]) for name in _FIELDS)
