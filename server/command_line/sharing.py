"""The commands `prefix share`, `prefix unshare` and `prefix readers`."""

# ruff: noqa: PLC0415 - `--help` does not need SQLAlchemy

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from server.command_line.flag_groups import expand_flags
from server.command_line.json_output import AsJson, print_json
from server.command_line.next_step import suggest
from server.command_line.place import Place, open_place

if TYPE_CHECKING:
    from polyprefix_client import Client
    from prefixes.registry import PrefixRegistry

Task = Annotated[str, typer.Argument(metavar="TENANT/TASK", help="The prefix.")]
Reader = Annotated[
    str | None, typer.Argument(metavar="[READER]", help="The other tenant. It need not exist yet.")
]
_PUBLIC = Annotated[bool, typer.Option("--public", help="Everyone, without a key.")]


class Readership(Protocol):
    """The readers of prefixes of a store or of a server. A reader of None is everyone."""

    def add(self, task: str, reader: str | None) -> None: ...
    def remove(self, task: str, reader: str | None) -> None: ...
    def find(self, task: str) -> tuple[bool, list[str]]: ...


@expand_flags
def share(
    task: Task,
    reader: Reader = None,
    everyone: _PUBLIC = False,  # noqa: FBT002 - as typer gives it
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    place: Place,
) -> None:
    """Let another tenant or everyone use a prefix.

    They may run all versions, also later ones, and download their files.
    """
    name = _task_name(task)
    with _readership(place) as readers:
        readers.add(name, other := _one_reader(reader, everyone=everyone))
        _show(readers, name, f"Shared {name} with {other or 'everyone'}.", as_json=as_json)
    suggest("prefix", "readers", name, as_json=as_json)


@expand_flags
def unshare(
    task: Task,
    reader: Reader = None,
    everyone: _PUBLIC = False,  # noqa: FBT002 - as typer gives it
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    place: Place,
) -> None:
    """Stop sharing a prefix with another tenant or with everyone.

    Other readers stay.
    """
    name = _task_name(task)
    with _readership(place) as readers:
        readers.remove(name, other := _one_reader(reader, everyone=everyone))
        text = f"{name} is no longer shared with {other or 'everyone'}."
        _show(readers, name, text, as_json=as_json)


@expand_flags
def list_readers(
    task: Task,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
    *,
    place: Place,
) -> None:
    """List the tenants that a prefix is shared with, by name. `*` stands for everyone."""
    name = _task_name(task)
    with _readership(place) as readers:
        is_public, tenants = readers.find(name)
        lines = "\n".join((*(["*"] if is_public else []), *tenants))
        if as_json or lines:
            _show(readers, name, lines, as_json=as_json)


def _readership(place: Place) -> AbstractContextManager[Readership]:
    return open_place(place, _StoredReaders, _ServedReaders)


class _StoredReaders:
    """The readers of prefixes of a store, changed by the command line."""

    def __init__(self, registry: "PrefixRegistry") -> None:
        from prefixes.registry import COMMAND_LINE, Sharing

        self._sharing = Sharing(registry.database)
        self._by = COMMAND_LINE

    def add(self, task: str, reader: str | None) -> None:
        owner, name = task.split("/")
        if reader is None:
            self._sharing.set_public(owner, name, is_public=True, by=self._by)
        else:
            self._sharing.add(owner, name, reader, by=self._by)

    def remove(self, task: str, reader: str | None) -> None:
        owner, name = task.split("/")
        if reader is None:
            self._sharing.set_public(owner, name, is_public=False, by=self._by)
        else:
            self._sharing.remove(owner, name, reader, by=self._by)

    def find(self, task: str) -> tuple[bool, list[str]]:
        found = self._sharing.readers(*task.split("/"))
        return found.is_public, list(found.tenants)


class _ServedReaders:
    """The readers of prefixes of a server."""

    def __init__(self, client: "Client") -> None:
        self._prefixes = client.prefixes

    def add(self, task: str, reader: str | None) -> None:
        self._prefixes.share(task, reader)

    def remove(self, task: str, reader: str | None) -> None:
        self._prefixes.unshare(task, reader)

    def find(self, task: str) -> tuple[bool, list[str]]:
        found = self._prefixes.readers(task)
        return found.is_public, list(found.tenants)


def _show(readers: Readership, task: str, text: str, *, as_json: bool) -> None:
    if as_json:
        is_public, tenants = readers.find(task)
        print_json({"is_public": is_public, "tenants": tenants})
    else:
        typer.echo(text)


def _task_name(text: str) -> str:
    """Return the name of a task without a version or an alias."""
    from prefixes import PrefixRef

    ref = PrefixRef.parse(text)
    if text != f"{ref.tenant}/{ref.task}":
        raise typer.BadParameter(
            f"{text} names a version or an alias, but tasks are shared as a whole. Write "
            f"{ref.tenant}/{ref.task}."
        )
    return text


def _one_reader(reader: str | None, *, everyone: bool) -> str | None:
    """Return the reader that is named, or None for everyone."""
    from prefixes.names import check_name

    if (reader is None) != everyone:
        raise typer.BadParameter("Name either a READER or --public.")
    return None if reader is None else check_name("tenant", reader)
