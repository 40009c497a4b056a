"""Flags in groups: a dataclass declares options, and a command takes them as one value."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints


def expand_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for each field of the dataclasses among its parameters.

    Typer reads options from a signature, so this writes the signature that Typer expects.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {
        name: kind for name, kind in hints.items() if dataclasses.is_dataclass(kind)
    }
    parameters = {
        one.name: one.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, own in inspect.signature(command).parameters.items()
        for one in (_fields_of(groups[name]) if name in groups else [own])
    }

    @functools.wraps(command)
    def expanded(**values: Any) -> None:
        grouped = {
            name: group(**{field.name: values.pop(field.name) for field in _fields_of(group)})
            for name, group in groups.items()
        }
        command(**values, **grouped)

    expanded.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]  # inspect's own protocol
    expanded.__annotations__ = _hints_of(hints, groups)
    return expanded


def given(flags: Any) -> dict[str, Any]:
    """Return the fields of a group that have a value."""
    values = {field.name: getattr(flags, field.name) for field in dataclasses.fields(flags)}
    return {name: value for name, value in values.items() if value is not None}


def changed(flags: Any) -> list[str]:
    """Return the options of a group whose value is not the default, such as `--max-length`."""
    defaults = type(flags)()
    return sorted(
        f"--{field.name.replace('_', '-')}"
        for field in dataclasses.fields(flags)
        if getattr(flags, field.name) != getattr(defaults, field.name)
    )


def _fields_of(group: Any) -> list[inspect.Parameter]:
    return list(inspect.signature(group).parameters.values())


def _hints_of(hints: Mapping[str, Any], groups: Mapping[str, Any]) -> dict[str, Any]:
    own = {name: kind for name, kind in hints.items() if name not in groups}
    for group in groups.values():
        own |= get_type_hints(group, include_extras=True)
    return own
