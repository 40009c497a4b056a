"""The command `usage`: exports what tenants used."""

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
def usage(  # noqa: PLR0917 - typer passes all by name
    tenant: Annotated[str | None, typer.Option(help="Only the usage of this tenant.")] = None,
    task: Annotated[
        str | None, typer.Option(metavar="TENANT/TASK", help="Only the usage of this task.")
    ] = None,
    since: Since = None,
    until: Until = None,
    output_format: Format = ExportFormat.CSV,
    as_json: AsJsonLines = False,  # noqa: FBT002 - as typer gives it
    *,
    place: Place,
) -> None:
    """Print the usage of tenants by hour and task, oldest first."""
    from prefixes.registry import UsageLog
    from prefixes.registry.usage import UsageFilter
    from server.api.usage_export import usage_lines

    kind = chosen(output_format, as_json=as_json)
    first, last = in_utc(since), in_utc(until)
    where = UsageFilter(tenant, task, since=first, until=last)
    with open_place(
        place,
        lambda registry: usage_lines(UsageLog(registry.database).pages(where), kind),
        lambda client: client.usage.export(tenant, kind, task=task, since=first, until=last),
    ) as pieces:
        for piece in pieces:
            typer.echo(piece, nl=False)
