"""The options of the commands `audit` and `usage`, which print tables."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal

import typer


class ExportFormat(StrEnum):
    """How a table is printed."""

    CSV = "csv"
    NDJSON = "ndjson"


Format = Annotated[ExportFormat, typer.Option("--format", help="Format of the output.")]
AsJsonLines = Annotated[
    bool, typer.Option("--json", help="Print JSON, one object in each line: --format ndjson.")
]
Since = Annotated[datetime | None, typer.Option(help="Only from this time in UTC on.")]
Until = Annotated[datetime | None, typer.Option(help="Only before this time in UTC.")]


def in_utc(moment: datetime | None) -> datetime | None:
    """Return the time that an option names."""
    return None if moment is None else moment.replace(tzinfo=UTC)


def chosen(output_format: ExportFormat, *, as_json: bool) -> Literal["csv", "ndjson"]:
    """Return the format that `--format` and `--json` select."""
    return "ndjson" if as_json or output_format is ExportFormat.NDJSON else "csv"
