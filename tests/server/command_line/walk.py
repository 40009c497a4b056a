"""Walks all commands of the command line."""

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from server.command_line.main import app


def commands(group: Any = None, name: str = "polyprefix") -> Iterator[tuple[str, Any]]:
    """Give the full name of each command and the command, groups excluded."""
    group = get_command(app) if group is None else group
    for own, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{name} {own}")
        else:
            yield f"{name} {own}", command


def groups() -> Iterator[tuple[str, Any]]:
    root = get_command(app)
    yield "polyprefix", root
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        if hasattr(command, "commands"):
            yield f"polyprefix {name}", command
