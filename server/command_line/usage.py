"""The command `usage`: exports what tenants used."""

# ruff: noqa: PLC0415 - `--help` does not need SQLAlchemy

from typing import Annotated

import typer

from server.command_line.exports import ExportFormat, Format, Since, Until, in_utc
from server.command_line.store_folder import StoreFolder, load_settings, open_store


def usage(  # noqa: PLR0917 - typer passes all by name
    tenant: Annotated[str | None, typer.Option(help="Only the usage of this tenant.")] = None,
    task: Annotated[
        str | None, typer.Option(metavar="TENANT/TASK", help="Only the usage of this task.")
    ] = None,
    since: Since = None,
    until: Until = None,
    output_format: Format = ExportFormat.CSV,
    store_folder: StoreFolder = None,
) -> None:
    """Print the usage of tenants by hour and task, oldest first."""
    from prefixes.registry import UsageLog
    from prefixes.registry.usage import UsageFilter
    from server.api.usage_export import usage_lines

    where = UsageFilter(tenant, task, since=in_utc(since), until=in_utc(until))
    with open_store(load_settings(store_folder)) as registry:
        pages = UsageLog(registry.database).pages(where)
        for piece in usage_lines(pages, output_format.value):
            typer.echo(piece, nl=False)
