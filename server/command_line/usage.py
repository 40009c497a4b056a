"""The command `usage`: exports what tenants used."""

# ruff: noqa: PLC0415 - `--help` does not need SQLAlchemy

from enum import StrEnum
from typing import Annotated, Literal

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


class UsageGroup(StrEnum):
    """The tasks or the keys that rows are sums of."""

    TASK = "task"
    KEY = "key"


@expand_flags
def usage(  # noqa: PLR0917 - typer passes all by name
    by: Annotated[
        UsageGroup, typer.Option(help="Add up the usage of each task, or of each key.")
    ] = UsageGroup.TASK,
    tenant: Annotated[str | None, typer.Option(help="Only the usage of this tenant.")] = None,
    task: Annotated[
        str | None, typer.Option(metavar="TENANT/TASK", help="Only the usage of this task.")
    ] = None,
    key_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Only the usage of this key, with --by key.")
    ] = None,
    since: Since = None,
    until: Until = None,
    output_format: Format = ExportFormat.CSV,
    as_json: AsJsonLines = False,  # noqa: FBT002 - as typer gives it
    *,
    place: Place,
) -> None:
    """Print the usage of tenants by hour, oldest first.

    A row is the sum of a task, or with `--by key` of an API key.
    """
    from prefixes.registry import UsageLog
    from prefixes.registry.usage import UsageFilter
    from server.api.usage_export import usage_lines

    group = _checked(by, task, key_id)
    kind = chosen(output_format, as_json=as_json)
    first, last = in_utc(since), in_utc(until)
    where = UsageFilter(tenant, task, since=first, until=last, key_id=key_id, by=group)
    with open_place(
        place,
        lambda registry: usage_lines(UsageLog(registry.database).pages(where), kind),
        lambda client: client.usage.export(
            tenant, kind, by=group, task=task, key_id=key_id, since=first, until=last
        ),
    ) as pieces:
        for piece in pieces:
            typer.echo(piece, nl=False)


def _checked(by: UsageGroup, task: str | None, key_id: str | None) -> Literal["task", "key"]:
    """Return what to add up, and reject a filter that such rows do not have."""
    if by is UsageGroup.KEY:
        if task is not None:
            raise typer.BadParameter("--task is for rows by task: remove it, or --by key.")
        return "key"
    if key_id is not None:
        raise typer.BadParameter("--key-id is for rows by key: add --by key, or remove it.")
    return "task"
