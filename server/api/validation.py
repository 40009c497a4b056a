"""Describes invalid members of a request in the terms of its sender: place, expected, found."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi.exceptions import RequestValidationError

_MAX_ERRORS: Final = 20
_MAX_SHOWN: Final = 40

_SENTENCES: Final = {
    "missing": "is missing",
    "extra_forbidden": "is not a member of this request. Check its spelling, or omit it.",
}
_EXPECTED: Final = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "none_required": "null, because this option is not supported",
}
"""The expected value that a message names when an input has another type."""


def field_errors(error: RequestValidationError) -> list[dict[str, str]]:
    """Describe the first twenty errors. `field` is the place, such as `input[3].text`."""
    return [_field_error(detail, error.body) for detail in error.errors()[:_MAX_ERRORS]]


def _field_error(detail: Mapping[str, Any], body: Any) -> dict[str, str]:
    if detail["type"] == "json_invalid":
        place = f"at character {detail['loc'][-1]}: {detail['ctx']['error']}"
        return {"field": "body", "message": f"is not valid JSON {place}"}
    if detail["loc"] == ("body",) and isinstance(detail["input"], bytes):
        message = "was not read as JSON. Send the header `Content-Type: application/json`."
        return {"field": "body", "message": message}
    is_missing = detail["type"] == "missing"
    return {
        "field": _place(detail["loc"], body, is_missing=is_missing),
        "message": _message(detail),
    }


def _message(detail: Mapping[str, Any]) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _SENTENCES:
        return _SENTENCES[kind]
    if kind == "value_error":
        return str(context.get("error", detail["msg"]))
    found = _shown(detail["input"])
    expected = context.get("expected") if kind == "literal_error" else _EXPECTED.get(kind)
    if expected is not None:
        return f"expected {expected}; found {found}"
    message = str(detail["msg"])
    if message.startswith("Input should"):
        return f"{message.replace('Input should', 'must', 1)}; found {found}"
    return message


def _place(location: Sequence[int | str], body: Any, *, is_missing: bool) -> str:
    """Format a place in the request as the sender knows it.

    Parts that do not lead anywhere in the body are omitted: they name branches of our own models.
    """
    source, *parts = location
    text, value = "", body
    for part in parts:
        # Forms have no body here: their places are our own.
        if source == "body" and body is not None:
            if not _leads_on(value, part) and not (is_missing and part is parts[-1]):
                continue
            value = value[part] if _leads_on(value, part) else None
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part[:80]}" if text else part[:80]
    return text or str(source)


def _leads_on(value: Any, part: int | str) -> bool:
    if isinstance(part, int):
        return isinstance(value, list) and part < len(value)
    return isinstance(value, dict) and part in value


def _shown(value: Any) -> str:
    """Name the value that was found. Short texts are quoted."""
    match value:
        case None | bool() | int() | float():
            return json.dumps(value)[:_MAX_SHOWN]
        case str():
            shown = json.dumps(value[:_MAX_SHOWN], ensure_ascii=False)
            return shown if len(value) <= _MAX_SHOWN else f'{shown[:-1]}..."'
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return "something else"
