"""The page of the command line, from its commands."""

from collections.abc import Iterator
from typing import Any, Final

from typer.main import get_command

from server.command_line.main import app
from website.reference.tables import table

_INTRODUCTION: Final = """# Commands and their options

This page lists the arguments and options of every command. [Command line](../command-line.md)
describes exit codes and where settings come from.
"""

_IGNORED: Final = "Accepted for scripts of P-tuning v2."


def command_line_page() -> str:
    """Write the page: a section for each command."""
    sections = (_section(name, command) for name, command in _commands(get_command(app)))
    return "\n".join((_INTRODUCTION, *sections))


def _commands(group: Any, name: str = "polyprefix") -> Iterator[tuple[str, Any]]:
    for own, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{name} {own}")
        else:
            yield f"{name} {own}", command


def _section(name: str, command: Any) -> str:
    arguments = [item for item in command.params if item.param_type_name == "argument"]
    options = [item for item in command.params if item.param_type_name == "option"]
    words = [name, *(_metavar(item) for item in arguments), *(["[OPTIONS]"] if options else [])]
    return "\n".join((
        f"## {name}\n",
        _plain(command.help),
        f"\n```text\n{' '.join(words)}\n```\n",
        table(("argument", "meaning"), map(_argument, arguments)),
        table(("option", "default", "meaning"), map(_option, options)),
    ))  # fmt: skip


def _metavar(argument: Any) -> str:
    name = (argument.metavar or argument.name.upper()).strip("[]")
    name += "..." if argument.nargs == -1 and not name.endswith("...") else ""
    return name if argument.required else f"[{name}]"


def _argument(argument: Any) -> tuple[str, str]:
    return f"`{_metavar(argument)}`", _plain(argument.help)


def _option(option: Any) -> tuple[str, str, str]:
    flags = ", ".join(f"`{flag}`" for flag in (*option.opts, *option.secondary_opts))
    default = option.show_default if isinstance(option.show_default, str) else option.default
    is_shown = bool(default) and not callable(default)
    shown = f"`{getattr(default, 'value', default)}`" if is_shown else ""
    return flags, shown, _plain(option.help) or _IGNORED


def _plain(text: str | None) -> str:
    """Give a help text without the marks that click reads."""
    return (text or "").replace("\b", "").strip()
