"""The command `audit`: exports the audit log."""

# ruff: noqa: PLC0415 - `--help` does not need SQLAlchemy

from typing import Annotated

import typer

from server.command_line.exports import (
    AsJsonLines,
    ExportFormat,
    Format,
    Since,
    Until,
    chosen,
    in_utc,
)
from server.command_line.flag_groups import expand_flags
from server.command_line.place import Place, open_place


@expand_flags
def audit(  # noqa: PLR0917 - typer passes all by name
    tenant: Annotated[str | None, typer.Option(help="Only events of this tenant.")] = None,
    key_id: Annotated[str | None, typer.Option(help="Only changes made with this key.")] = None,
    since: Since = None,
    until: Until = None,
    output_format: Format = ExportFormat.CSV,
    as_json: AsJsonLines = False,  # noqa: FBT002 - as typer gives it
    *,
    place: Place,
) -> None:
    """Print the audit log: who changed what, newest first."""
    from prefixes.registry import AuditLog
    from prefixes.registry.audit import AuditFilter
    from server.api.audit_export import audit_lines

    kind = chosen(output_format, as_json=as_json)
    first, last = in_utc(since), in_utc(until)
    where = AuditFilter(tenant=tenant, key_id=key_id, since=first, until=last)
    with open_place(
        place,
        lambda registry: audit_lines(AuditLog(registry.database).pages(where), kind),
        lambda client: client.audit.export(
            kind, tenant=tenant, key_id=key_id, since=first, until=last
        ),
    ) as pieces:
        for piece in pieces:
            typer.echo(piece, nl=False)
