"""The page of settings, from the fields of `Settings`."""

from collections.abc import Iterator
from enum import Enum
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from typer.main import get_command

from server.command_line.main import app
from server.settings import Settings, variable_of
from server.settings.errors import SECRETS

_INTRODUCTION: Final = """# Settings

Each setting has a variable, and some have a flag of `polyprefix serve`. A flag takes precedence
over the variable, and the variable over the default. [Operating](../operating.md#settings) has all
settings in one table.
"""


def settings_page() -> str:
    """Write the page: a section for each group of settings, with an entry for each."""
    flags = _flags()
    parts = [_INTRODUCTION]
    for group, names in _groups():
        parts.append(f"## {group}\n")
        parts += [_entry(name, flags) for name in names]
    return "\n".join(parts)


def _groups() -> Iterator[tuple[str, list[str]]]:
    """Give the title and the fields of each class of settings, most general first."""
    owners: list[type] = [owner for owner in Settings.__mro__ if issubclass(owner, BaseModel)]
    for owner in (Settings, *reversed(owners[1:])):
        own = [name for name in Settings.model_fields if name in vars(owner)["__annotations__"]]
        if own:
            title = owner.__name__.removesuffix("Settings") or "General"
            yield {"Http": "HTTP", "Tls": "TLS"}.get(title, title), own


def _flags() -> dict[str, str]:
    serve = get_command(app).commands["serve"]  # type: ignore[attr-defined]
    return {str(item.name): item.opts[0] for item in serve.params}


def _entry(name: str, flags: dict[str, str]) -> str:
    field = Settings.model_fields[name]
    schema = Settings.model_json_schema()["properties"][name]
    rows = [
        ("Type", _type_of(schema) + (", secret" if name in SECRETS else "")),
        ("Default", _default_of(field.default)),
        ("Range", _range_of(schema)),
        ("Flag", f"`{flags[name]}`" if name in flags else ""),
    ]
    facts = "\n".join(f"- {label}: {value}" for label, value in rows if value)
    return f"### {variable_of(name)}\n\n{field.description}\n\n{facts}\n"


def _default_of(default: Any) -> str:
    if default in {None, PydanticUndefined}:
        return "unset"
    return f"`{default.value if isinstance(default, Enum) else default}`"


def _options(schema: dict[str, Any]) -> list[dict[str, Any]]:
    options = schema.get("anyOf", [schema])
    return [one for one in options if one.get("type") != "null"]


def _type_of(schema: dict[str, Any]) -> str:
    names = []
    for option in _options(schema):
        values = option.get("enum") or ([option["const"]] if "const" in option else [])
        names.append(
            ", ".join(f"`{one}`" for one in values)
            or _NAMES.get(option.get("format", ""), option.get("type", "string"))
        )
    return " or ".join(names)


_NAMES: Final = {"path": "path", "directory-path": "folder", "file-path": "file"}


def _range_of(schema: dict[str, Any]) -> str:
    bounds = (("minimum", "at least"), ("exclusiveMinimum", "more than"), ("maximum", "at most"))
    return ", ".join(
        f"{word} {option[key]}"
        for option in _options(schema)
        for key, word in bounds
        if key in option
    )
