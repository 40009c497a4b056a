"""The commands `login` and `logout`: the server and the key that other commands use."""

# ruff: noqa: PLC0415 - `--help` does not need httpx

import os
import sys
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated

import typer

from server.command_line.json_output import AsJson, print_json
from server.command_line.next_step import suggest

if TYPE_CHECKING:
    from polyprefix_client.login import Login
    from polyprefix_client.management import ServerStatus


def login(
    url: Annotated[
        str | None,
        typer.Argument(help="URL of the server.", show_default="POLYPREFIX_URL, or localhost"),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            help="API key. Default: POLYPREFIX_KEY, or else you are asked for it.",
        ),
    ] = None,
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
) -> None:
    """Check a server and a key, and keep them for other commands.

    The file can be read by you only. `--url` and `--key`, and POLYPREFIX_URL and POLYPREFIX_KEY,
    take precedence over it.
    """
    from polyprefix_client.login import DEFAULT_URL, KEY_VARIABLE, URL_VARIABLE, Login, write_login

    place = url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
    chosen = Login(place, key or os.environ.get(KEY_VARIABLE) or _ask_for_key())
    status = _check(chosen)
    path = write_login(chosen)
    if as_json:
        print_json({"url": place, "version": status.version, "file": str(path)})
        return
    typer.echo(f"Logged in to {place} (polyprefix {status.version}, {status.backbone}).")
    typer.echo(f"URL and key are in {path}.", err=True)
    suggest("prefix", "ls")


def logout(
    as_json: AsJson = False,  # noqa: FBT002 - as typer gives it
) -> None:
    """Delete the server and the key that `login` has kept. The key stays valid."""
    from polyprefix_client.login import delete_login, login_path

    was_there = delete_login()
    if as_json:
        print_json({"file": str(login_path()), "deleted": was_there})
    else:
        typer.echo("Logged out." if was_there else "Not logged in.")


def _check(chosen: "Login") -> "ServerStatus":
    """Return what the server says about itself, once it has accepted the key."""
    from polyprefix_client import Client

    if sends_openly(chosen.url):
        typer.echo(
            "Warning: the key is sent without encryption. Use an https URL if the server has one.",
            err=True,
        )
    with Client(chosen.url, chosen.key) as client:
        client.models()  # a key that is not valid is rejected, even where none is needed
        return client.status()


def _ask_for_key() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().strip()
    return str(typer.prompt("API key", hide_input=True, default="", show_default=False))


def sends_openly(url: str) -> bool:
    """Return whether others on the network may read the key that is sent to a URL."""
    import httpx

    try:
        place = httpx.URL(url)
    except httpx.InvalidURL:
        return False  # the client rejects it
    if place.scheme != "http" or place.host == "localhost":
        return False
    try:
        return not ip_address(place.host).is_loopback
    except ValueError:
        return True
