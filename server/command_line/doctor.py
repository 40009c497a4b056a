"""The command `doctor`."""

# ruff: noqa: PLC0415 - `--help` needs neither pydantic nor torch

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import typer

from server.command_line.exit_codes import ExitCode
from server.command_line.flag_groups import expand_flags, given
from server.command_line.json_output import AsJson, print_json
from server.command_line.place import ServerFlags
from server.command_line.serve import ServeFlags

if TYPE_CHECKING:
    from server.command_line.diagnosis.results import CheckResult

_COLORS: Final = {"ok": "green", "warning": "yellow", "problem": "red", "skipped": "bright_black"}
_WIDTH: Final = max(map(len, _COLORS))
_INDENT: Final = " " * (_WIDTH + 2)


@expand_flags
def doctor(settings: ServeFlags, server: ServerFlags, as_json: AsJson = False) -> None:  # noqa: FBT002 - an option of a command
    """Find out why a server or a client does not work. Changes nothing.

    The flags of `serve` are settings to check. --url and --key are those of a server to check.
    """
    results = []
    for result in _results(settings, server):
        results.append(result)
        if not as_json:
            _print(result)
    if as_json:
        print_json([asdict(result) for result in results])
    if any(result.state == "problem" for result in results):
        raise typer.Exit(ExitCode.FAILURE)


def _results(settings: ServeFlags, server: ServerFlags) -> Iterator["CheckResult"]:
    yield from _local_results(settings)
    yield from _remote_results(server)


def _local_results(flags: ServeFlags) -> Iterator["CheckResult"]:
    from server.command_line.diagnosis.local import check_machine
    from server.command_line.diagnosis.results import ok, problem
    from server.settings import InvalidSettings, Settings

    try:
        settings = Settings.load(**given(flags))
    except InvalidSettings as error:
        yield problem("settings", str(error), "Correct the flags or the POLYPREFIX_ variables.")
    else:
        yield ok("settings", "all are valid")
        yield from check_machine(settings)


def _remote_results(flags: ServerFlags) -> Iterator["CheckResult"]:
    from polyprefix_client.errors import InvalidLogin, InvalidUrl
    from polyprefix_client.login import find_connection
    from server.command_line.diagnosis.results import problem, skipped
    from server.command_line.diagnosis.servers import check_server, is_polyprefix

    try:
        connection = find_connection(flags.url, flags.key)
    except InvalidLogin as error:
        yield problem("server", str(error), "Run `polyprefix login` again, or give --url.")
        return
    except InvalidUrl as error:
        yield problem("server", str(error), "Correct --url, POLYPREFIX_URL or the login.")
        return
    if connection.url_source == "default" and not is_polyprefix(connection.url):
        yield skipped("server", "no URL: add --url, set POLYPREFIX_URL, or run `polyprefix login`")
    else:
        yield from check_server(connection)


def _print(result: "CheckResult") -> None:
    state = typer.style(f"{result.state:<{_WIDTH}}", fg=_COLORS[result.state])
    typer.echo(f"{state}  {result.check}: {result.found}")
    if result.cure:
        typer.echo(f"{_INDENT}{result.cure}")
