"""Calls a command in this process."""

from dataclasses import dataclass

from typer.testing import CliRunner

from server.command_line.main import app


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The exit code of a command, and its output; `error` has single spaces only."""

    code: int
    output: str
    error: str


def call(*arguments: object) -> CommandResult:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return CommandResult(result.exit_code, result.stdout, " ".join(result.stderr.split()))
