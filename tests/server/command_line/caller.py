"""Calls a command in this process."""

from dataclasses import dataclass

from typer.testing import CliRunner

from server.command_line.main import app


@dataclass(frozen=True, slots=True)
class Outcome:
    """The exit code of a command, and its output; `error` has single spaces only."""

    code: int
    output: str
    error: str


def call(*arguments: object) -> Outcome:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return Outcome(result.exit_code, result.stdout, " ".join(result.stderr.split()))
