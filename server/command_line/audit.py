"""The command `audit`: exports the audit log."""

# ruff: noqa: PLC0415 - `--help` does not need SQLAlchemy

from typing import Annotated

import typer

from server.command_line.exports import ExportFormat, Format, Since, Until, in_utc
from server.command_line.store_folder import StoreFolder, load_settings, open_store


def audit(  # noqa: PLR0917 - typer passes all by name
    tenant: Annotated[str | None, typer.Option(help="Only events of this tenant.")] = None,
    key_id: Annotated[str | None, typer.Option(help="Only changes made with this key.")] = None,
    since: Since = None,
    until: Until = None,
    output_format: Format = ExportFormat.CSV,
    store_folder: StoreFolder = None,
) -> None:
    """Print the audit log: who changed what, newest first."""
    from prefixes.registry import AuditLog
    from prefixes.registry.audit import AuditFilter
    from server.api.audit_export import audit_lines

    where = AuditFilter(tenant=tenant, key_id=key_id, since=in_utc(since), until=in_utc(until))
    with open_store(load_settings(store_folder)) as registry:
        pages = AuditLog(registry.database).pages(where)
        for piece in audit_lines(pages, output_format.value):
            typer.echo(piece, nl=False)
