"""The command `audit`: exports the audit log."""

# ruff: noqa: PLC0415 - `--help` does not need SQLAlchemy

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer

from server.command_line.store_folder import StoreFolder, load_settings, open_store


class AuditFormat(StrEnum):
    """How events are printed."""

    CSV = "csv"
    NDJSON = "ndjson"


def audit(  # noqa: PLR0917 - typer passes all by name
    tenant: Annotated[str | None, typer.Option(help="Only events of this tenant.")] = None,
    key_id: Annotated[str | None, typer.Option(help="Only changes made with this key.")] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Only events from this time in UTC on.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(help="Only events before this time in UTC.")
    ] = None,
    output_format: Annotated[
        AuditFormat, typer.Option("--format", help="Format of the output.")
    ] = AuditFormat.CSV,
    store_folder: StoreFolder = None,
) -> None:
    """Print the audit log: who changed what, newest first."""
    from prefixes.registry import AuditLog
    from prefixes.registry.audit import AuditFilter
    from server.api.audit_export import header_of, lines_of

    where = AuditFilter(tenant=tenant, key_id=key_id, since=_utc(since), until=_utc(until))
    with open_store(load_settings(store_folder)) as registry:
        typer.echo(header_of(output_format.value), nl=False)
        for page in AuditLog(registry.database).pages(where):
            typer.echo(lines_of(page, output_format.value), nl=False)


def _utc(moment: datetime | None) -> datetime | None:
    from datetime import UTC

    return None if moment is None else moment.replace(tzinfo=UTC)
