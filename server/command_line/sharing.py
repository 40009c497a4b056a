"""The commands `prefix share`, `prefix unshare` and `prefix readers`."""

# ruff: noqa: PLC0415 - `--help` does not need SQLAlchemy

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from server.command_line.json_output import AsJson, print_json
from server.command_line.store_folder import StoreFolder, load_settings, open_store

if TYPE_CHECKING:
    from prefixes.registry import Sharing

Task = Annotated[str, typer.Argument(metavar="TENANT/TASK", help="The prefix.")]
Reader = Annotated[
    str | None, typer.Argument(metavar="[READER]", help="The other tenant. It need not exist yet.")
]
_PUBLIC = Annotated[bool, typer.Option("--public", help="Everyone, without a key.")]


def share(
    task: Task,
    reader: Reader = None,
    everyone: _PUBLIC = False,  # noqa: FBT002 - as typer gives it
    store_folder: StoreFolder = None,
) -> None:
    """Let another tenant or everyone use a prefix.

    They may run all versions, also later ones, and download their files.
    """
    from prefixes.registry import COMMAND_LINE

    with _sharing(task, store_folder) as (sharing, owner, name):
        if (other := _one_reader(reader, everyone=everyone)) is None:
            sharing.set_public(owner, name, is_public=True, by=COMMAND_LINE)
        else:
            sharing.add(owner, name, other, by=COMMAND_LINE)
        typer.echo(f"Shared {owner}/{name} with {other or 'everyone'}.")


def unshare(
    task: Task,
    reader: Reader = None,
    everyone: _PUBLIC = False,  # noqa: FBT002 - as typer gives it
    store_folder: StoreFolder = None,
) -> None:
    """Stop sharing a prefix with another tenant or with everyone.

    Other readers stay.
    """
    from prefixes.registry import COMMAND_LINE

    with _sharing(task, store_folder) as (sharing, owner, name):
        if (other := _one_reader(reader, everyone=everyone)) is None:
            sharing.set_public(owner, name, is_public=False, by=COMMAND_LINE)
        else:
            sharing.remove(owner, name, other, by=COMMAND_LINE)
        typer.echo(f"{owner}/{name} is not shared with {other or 'everyone'} any more.")


def list_readers(
    task: Task,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    store_folder: StoreFolder = None,
) -> None:
    """List the tenants that a prefix is shared with, by name. `*` stands for everyone."""
    with _sharing(task, store_folder) as (sharing, owner, name):
        found = sharing.readers(owner, name)
        if as_json:
            print_json({"is_public": found.is_public, "tenants": found.tenants})
            return
        for reader in (*(["*"] if found.is_public else []), *found.tenants):
            typer.echo(reader)


@contextmanager
def _sharing(task: str, store_folder: StoreFolder) -> Iterator[tuple["Sharing", str, str]]:
    """Open the store; gives who changes readers, and the two names of the prefix."""
    from prefixes import PrefixRef
    from prefixes.registry import Sharing

    ref = PrefixRef.parse(task)
    if task != f"{ref.tenant}/{ref.task}":
        raise typer.BadParameter(
            f"{task} names a version or an alias, but tasks are shared as a whole. Write "
            f"{ref.tenant}/{ref.task}."
        )
    with open_store(load_settings(store_folder)) as registry:
        yield Sharing(registry.database), ref.tenant, ref.task


def _one_reader(reader: str | None, *, everyone: bool) -> str | None:
    """Return the reader that is named, or None for everyone."""
    from prefixes.names import check_name

    if (reader is None) != everyone:
        raise typer.BadParameter("Name either a READER or --public.")
    return None if reader is None else check_name("tenant", reader)
