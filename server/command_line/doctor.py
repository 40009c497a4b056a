"""The command `doctor`."""

# ruff: noqa: PLC0415 - `--help` needs neither pydantic nor torch

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

from server.command_line.exit_codes import ExitCode
from server.command_line.flag_groups import expand_flags, given
from server.command_line.json_output import AsJson, print_json
from server.command_line.store_folder import StoreFolder

if TYPE_CHECKING:
    from server.command_line.diagnosis.results import CheckResult

_COLORS: Final = {"ok": "green", "warning": "yellow", "problem": "red", "skipped": "bright_black"}
_WIDTH: Final = max(map(len, _COLORS))
_INDENT: Final = " " * (_WIDTH + 2)


@dataclass(frozen=True, slots=True)
class SettingFlags:
    """The settings to check, as `polyprefix serve` would get them."""

    store_folder: StoreFolder = None
    backbone: Annotated[
        str | None,
        typer.Option(help="`minilm`, a folder, or a model id of the hub.", show_default="minilm"),
    ] = None
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda or cuda:N.", show_default="auto")
    ] = None
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")
    ] = None
    port: Annotated[int | None, typer.Option(help="Port to listen on.", show_default="8000")] = None


@dataclass(frozen=True, slots=True)
class ServerFlags:
    """The running server to check, as a client of it."""

    url: Annotated[str | None, typer.Option(help="URL of a server to check as a client.")] = None
    key: Annotated[str | None, typer.Option(help="API key for that server.")] = None


@expand_flags
def doctor(settings: SettingFlags, server: ServerFlags, as_json: AsJson = False) -> None:  # noqa: FBT002 - an option of a command
    """Find out why a server or a client does not work. Changes nothing."""
    results = []
    for result in _results(settings, server):
        results.append(result)
        if not as_json:
            _print(result)
    if as_json:
        print_json([asdict(result) for result in results])
    if any(result.state == "problem" for result in results):
        raise typer.Exit(ExitCode.FAILURE)


def _results(settings: SettingFlags, server: ServerFlags) -> Iterator["CheckResult"]:
    yield from _local_results(settings)
    yield from _remote_results(server)


def _local_results(flags: SettingFlags) -> Iterator["CheckResult"]:
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
    from polyprefix_client.errors import InvalidLogin
    from polyprefix_client.login import find_connection
    from server.command_line.diagnosis.results import problem, skipped
    from server.command_line.diagnosis.servers import check_server

    try:
        connection = find_connection(flags.url, flags.key)
    except InvalidLogin as error:
        yield problem("server", str(error), "Run `polyprefix login` again, or give --url.")
        return
    if connection.url_source == "default":
        yield skipped("server", "no URL: add --url, set POLYPREFIX_URL, or run `polyprefix login`")
    else:
        yield from check_server(connection)


def _print(result: "CheckResult") -> None:
    state = typer.style(f"{result.state:<{_WIDTH}}", fg=_COLORS[result.state])
    typer.echo(f"{state}  {result.check}: {result.found}")
    if result.cure:
        typer.echo(f"{_INDENT}{result.cure}")
