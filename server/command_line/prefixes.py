"""The commands `prefix ls`, `show`, `check`, `push`, `pull`, `promote`, `rollback` and `delete`.

They work on a server.
"""

# ruff: noqa: PLC0415 - `--help` does not need httpx

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from server.command_line.alias_argument import AliasName
from server.command_line.flag_groups import expand_flags
from server.command_line.json_output import AsJson, print_json
from server.command_line.next_step import suggest
from server.command_line.place import ServerFlags, connect

if TYPE_CHECKING:
    from polyprefix_client.versions import AliasTarget, Prefix

Task = Annotated[str, typer.Argument(metavar="TENANT/TASK", help="The task.")]
File = Annotated[Path, typer.Argument(help="A prefix file, as `train` writes it.")]


@expand_flags
def list_prefixes(
    tenant: Annotated[
        str | None, typer.Argument(help="Name of the tenant.", show_default="that of the key")
    ] = None,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    server: ServerFlags,
) -> None:
    """List the tasks of a tenant on a server.

    The columns are name, number of versions, and aliases.
    """
    with connect(server) as client:
        owner = tenant or client.me().tenant
        if owner is None:
            raise typer.BadParameter("The key belongs to no tenant. Name one: prefix ls TENANT.")
        found = client.prefixes.list(owner)
    if as_json:
        _print(found)
        return
    if not found:
        typer.echo(f"The key may use no task of {owner}.", err=True)
    for one in found:
        aliases = " ".join(f"{alias}={version}" for alias, version in one.aliases.items())
        typer.echo(f"{one.name}\t{len(one.versions)}\t{aliases}")


@expand_flags
def show_prefix(
    task: Task,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    server: ServerFlags,
) -> None:
    """Show the versions of a task on a server.

    The columns are version, time, size in bytes, digest, and aliases that point to it.
    """
    with connect(server) as client:
        found = client.prefixes.show(task)
    if as_json:
        _print(found)
        return
    for line in _version_lines(found):
        typer.echo(line)


@expand_flags
def check_prefix(
    task: Task,
    file: File,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    server: ServerFlags,
) -> None:
    """Check a prefix file as a server does, and publish nothing."""
    with connect(server) as client:
        found = client.prefixes.check(task, file)
    if as_json:
        _print(found)
    else:
        for warning in found.warnings:
            typer.echo(f"Warning: {warning}", err=True)
        typer.echo(f"{file}: valid, {found.task_type}, {found.num_examples} golden examples")
    suggest("prefix", "push", task, str(file), as_json=as_json)


@expand_flags
def push_prefix(
    task: Task,
    file: File,
    alias: Annotated[
        str | None, typer.Option(help="Alias to point to the new version, such as `live`.")
    ] = None,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    server: ServerFlags,
) -> None:
    """Upload a prefix file to a server as the next version of a task."""
    with connect(server) as client:
        found = client.prefixes.upload(task, file, alias=alias)
    if as_json:
        _print(found)
    else:
        typer.echo(f"{found.ref}\t{'published' if found.is_new else 'has these bytes already'}")
    suggest("prefix", "promote", f"{task}:live", str(found.version), as_json=as_json)


@expand_flags
def pull_prefix(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="TENANT/TASK, TENANT/TASK:ALIAS or TENANT/TASK@VERSION."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write.", show_default="TASK.safetensors"),
    ] = None,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    server: ServerFlags,
) -> None:
    """Download a prefix file from a server."""
    from polyprefix_client.names import Reference

    path = output or Path(f"{Reference.parse(name).task}.safetensors")
    with connect(server) as client:
        data = client.prefixes.download(name, path)
    if as_json:
        print_json({"name": name, "path": str(path), "size_bytes": len(data)})
    else:
        typer.echo(f"{path}\t{len(data)} bytes")
    suggest("evaluate", str(path), "ROWS", as_json=as_json)


@expand_flags
def promote_alias(
    alias: AliasName,
    version: Annotated[int, typer.Argument(help="Number of the version.", min=1)],
    if_version: Annotated[
        int | None,
        typer.Option(help="Version that the alias must point to now. Otherwise nothing changes."),
    ] = None,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    server: ServerFlags,
) -> None:
    """Point an alias on a server to a version."""
    with connect(server) as client:
        found = client.prefixes.promote(alias, version, if_version=if_version)
    _show_target(alias, found, as_json=as_json)
    suggest("prefix", "rollback", alias, as_json=as_json)


@expand_flags
def roll_back_alias(
    alias: AliasName,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    server: ServerFlags,
) -> None:
    """Undo the last move of an alias on a server."""
    with connect(server) as client:
        found = client.prefixes.rollback(alias)
    _show_target(alias, found, as_json=as_json)
    suggest("prefix", "show", alias.split(":")[0], as_json=as_json)


@expand_flags
def delete_prefix(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="TENANT/TASK or TENANT/TASK@VERSION.")
    ],
    permanent: Annotated[  # noqa: FBT002 - as typer gives it
        bool, typer.Option("--permanent", help="Remove it at once. It cannot be restored.")
    ] = False,
    as_json: AsJson = False,  # noqa: FBT002 - as above
    *,
    server: ServerFlags,
) -> None:
    """Delete a task or a version on a server. It can be restored for some days."""
    with connect(server) as client:
        client.prefixes.delete(name, permanent=permanent)
    if as_json:
        print_json({"name": name, "permanent": permanent})
    else:
        typer.echo(f"{name}: deleted")
    if not permanent:
        suggest("prefix", "restore", name, as_json=as_json)


@expand_flags
def restore_prefix(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="TENANT/TASK or TENANT/TASK@VERSION.")
    ],
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    server: ServerFlags,
) -> None:
    """Restore a task or a version that was deleted on a server."""
    with connect(server) as client:
        client.prefixes.restore(name)
    if as_json:
        print_json({"name": name})
    else:
        typer.echo(f"{name}: restored")
    suggest("prefix", "show", name.split("@")[0], as_json=as_json)


def _version_lines(prefix: "Prefix") -> list[str]:
    targets: dict[int, list[str]] = {}
    for alias in prefix.aliases:
        targets.setdefault(alias.version, []).append(alias.name)
    return [
        "\t".join(
            (
                str(one.version),
                f"{one.created_at:%Y-%m-%d %H:%M}",
                str(one.size_bytes),
                one.digest[:12],
                " ".join(targets.get(one.version, [])),
            )
        )
        for one in prefix.versions
    ]


def _show_target(alias: str, target: "AliasTarget", *, as_json: bool) -> None:
    if as_json:
        _print(target)
    else:
        typer.echo(f"{alias}: points to version {target.version}")


def _print(value: Any) -> None:
    from polyprefix_client import to_json

    print_json(to_json(value))
