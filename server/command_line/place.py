"""Place: the store folder or the server that a command works on."""

# ruff: noqa: PLC0415 - `--help` needs neither httpx nor SQLAlchemy

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from server.command_line.store_folder import load_settings, open_store

if TYPE_CHECKING:
    from polyprefix_client import Client
    from prefixes.registry import PrefixRegistry

_FOLDER_VARIABLE: Final = "POLYPREFIX_STORE_FOLDER"
_URL_VARIABLE: Final = "POLYPREFIX_URL"
_DEFAULTS: Final = "POLYPREFIX_URL, or `polyprefix login`"


def place_option(text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel="Store folder or server", **more)


_KEY_HELP: Final = "API key. Prefer POLYPREFIX_KEY, which no list of processes shows."

Manager = TypeVar("Manager")
Url = Annotated[str | None, place_option("URL of a server.", "--url", metavar="URL")]
Key = Annotated[str | None, place_option(_KEY_HELP, "--key")]


@dataclass(frozen=True, slots=True)
class ServerFlags:
    """The server of a command that works on servers only."""

    url: Annotated[
        str | None,
        place_option("URL of the server.", "--url", metavar="URL", show_default=_DEFAULTS),
    ] = None
    key: Key = None


@dataclass(frozen=True, slots=True)
class Place:
    """The store folder or the server of a command that works on both."""

    store_folder: Annotated[
        Path | None,
        place_option("Folder of the prefix files and the database.", show_default="./var"),
    ] = None
    url: Url = None
    remote: Annotated[bool, place_option("Use the server of `polyprefix login`.", "--remote")] = (
        False
    )
    key: Key = None


@dataclass(frozen=True, slots=True)
class KeyedPlace(Place):
    """A place of commands whose `--key` names a key of a tenant."""

    key: Annotated[str | None, place_option(_KEY_HELP, "--api-key")] = None


def connect(flags: ServerFlags | Place) -> "Client":
    """Make a client. Flags take precedence over variables, and these over the login file."""
    from polyprefix_client import Client

    return Client(flags.url, flags.key)


@contextmanager
def open_place(
    place: Place,
    of_store: Callable[["PrefixRegistry"], Manager],
    of_server: Callable[["Client"], Manager],
) -> Iterator[Manager]:
    """Open the store folder or the server that a command works on, and return what manages it.

    A server is used with `--url`, `--remote` or POLYPREFIX_URL. A login alone does not select it:
    the same command would otherwise change another place after a login.

    Raises:
        BadParameter: when both are named.
    """
    if _names_server(place):
        with connect(place) as client:
            yield of_server(client)
        return
    with open_store(load_settings(place.store_folder)) as registry:
        yield of_store(registry)


def _names_server(place: Place) -> bool:
    """Return whether a command works on a server.

    Raises:
        BadParameter: when a server and a store folder are named in the same way.
    """
    has_flag = place.url is not None or place.remote
    if has_flag and place.store_folder is not None:
        raise typer.BadParameter(
            "--store-folder and --url or --remote name two places. Give only one of them."
        )
    if has_flag:
        return True
    if place.store_folder is not None or not os.environ.get(_URL_VARIABLE):
        return False
    if os.environ.get(_FOLDER_VARIABLE):
        raise typer.BadParameter(
            f"{_URL_VARIABLE} and {_FOLDER_VARIABLE} name two places. Give --url or --store-folder."
        )
    return True
