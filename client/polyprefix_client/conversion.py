"""Builds frozen dataclasses from JSON, by their annotations.

Members that a class does not have are ignored, so that a client works with newer servers.
"""

import dataclasses
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from polyprefix_client.errors import InvalidResponse

Value = TypeVar("Value")
Converter = Callable[[Any], Any]

_NAMES: Final = "names"


def named(*names: str, **options: Any) -> Any:
    """Declare a field that has other names on the wire. The first one that is there counts."""
    return dataclasses.field(metadata={_NAMES: names}, **options)


def from_json(kind: type[Value], value: Any) -> Value:
    """Build a value of a dataclass, or of another annotation, from JSON.

    Raises:
        InvalidResponse: when a member is missing or has another type.
    """
    try:
        return cast("Value", _converter(cast("Any", kind))(value))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidResponse(
            f"The response has no valid {getattr(kind, '__name__', kind)}: {error!r}. Check that "
            "the URL is that of a polyprefix server, and update the client."
        ) from error


def to_json(value: Any) -> Any:
    """Turn a dataclass into values that `json.dumps` accepts. Times are in ISO 8601."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {one.name: to_json(getattr(value, one.name)) for one in fields}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {name: to_json(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(one) for one in value]
    return value


@cache
def _converter(kind: Any) -> Converter:
    """Return the function that converts JSON to an annotation."""
    origin, arguments = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind):
        # A class that reads its own JSON does so because members may be missing.
        own: Converter | None = getattr(kind, "from_json", None)
        return own or _dataclass_converter(cast("type[Any]", kind))
    if origin in {Union, UnionType} and NoneType in arguments:
        (inner,) = (_converter(one) for one in arguments if one is not NoneType)
        return lambda value: None if value is None else inner(value)
    if origin is tuple:
        item = _converter(arguments[0])
        return lambda value: tuple(map(item, value))
    if origin is dict and arguments[1] is not Any:
        item = _converter(arguments[1])
        return lambda value: {name: item(one) for name, one in value.items()}
    if kind is datetime:
        return datetime.fromisoformat
    return _scalar_converter(kind)


def _scalar_converter(kind: Any) -> Converter:
    if kind is float:
        return lambda value: _checked(value, int | float)
    if kind in {str, int, bool}:
        return lambda value: _checked(value, kind)
    return lambda value: value


def _checked(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"expected {kind}, found {str(value)[:80]!r}")
    return value


def _dataclass_converter(kind: type[Any]) -> Converter:
    hints = get_type_hints(kind)
    fields = [
        (one.name, one.metadata.get(_NAMES, (one.name,)), _converter(hints[one.name]))
        for one in dataclasses.fields(kind)
    ]

    def convert(members: Any) -> Any:
        found = {
            name: converter(members[wire])
            for name, names, converter in fields
            for wire in names
            if wire in members
        }
        return kind(**found)

    return convert
