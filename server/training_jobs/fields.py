"""Holds a configuration against the fields that a tenant may set: at once, without the trainer.

What is said here is what a JSON schema of single fields can say. How fields go together is for the
trainer's own `problems`.
"""

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from prefixes.names import nearest

_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "null": (type(None),),
}

_BOUNDS: Final[Mapping[str, tuple[str, Callable[[float, float], bool]]]] = {
    "minimum": ("at least", operator.ge),
    "maximum": ("at most", operator.le),
    "exclusiveMinimum": ("more than", operator.gt),
    "exclusiveMaximum": ("less than", operator.lt),
}


def problems_of(
    config: Mapping[str, Any], fields: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    """Give the name of each field that is wrong, and what is wrong with it."""
    for name, value in config.items():
        if name not in fields:
            yield name[:80], f"is no field that can be set{nearest(name, fields)}"
        else:
            problem = _problem(value, fields[name])
            if problem is not None:
                yield name, problem


def _problem(value: Any, schema: Mapping[str, Any]) -> str | None:
    if "anyOf" in schema:
        problems = [_problem(value, one) for one in schema["anyOf"]]
        return None if None in problems else problems[0]
    if "enum" in schema:
        options = ", ".join(map(str, schema["enum"]))
        return None if value in schema["enum"] else f"expected one of {options}"
    kind = schema.get("type")
    if kind is not None and not _is(value, kind):
        return f"expected {'an' if kind[0] in 'aeiou' else 'a'} {kind}"
    if kind == "array":
        found = (_problem(item, schema.get("items", {})) for item in value)
        return next((problem for problem in found if problem), None)
    return _beyond(value, schema) if kind in {"integer", "number"} else None


def _is(value: Any, kind: str) -> bool:
    # JSON's 1e999 is infinity to Python, and True is a number.
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _beyond(value: float, schema: Mapping[str, Any]) -> str | None:
    for name, (words, holds) in _BOUNDS.items():
        if name in schema and not holds(value, schema[name]):
            return f"expected {words} {schema[name]:g}"
    return None
