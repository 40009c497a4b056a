"""Parses lists and objects that were written into a cell as text, as pandas and numpy do."""

import ast
import json
import re
from typing import Any, Final

_BRACKETS: Final = {"[": "]", "(": ")", "{": "}"}
_ITEM: Final = re.compile(
    r"""( '(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" | [-+]?\d+(?:\.\d*)? | true | false | null | none )
        (?=[\s,]|$)""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_VECTOR: Final = re.compile(r"[01]([\s,;|]+[01])+")
_EMPTY: Final = {"null", "none"}


def parse_list(text: str) -> list[Any] | None:
    """Parse `['a', 'b']`, `["a"]`, `['a' 'b']`, `{'a', 'b'}`, `[1 0 1]` and `[]`.

    Numbers and truth values remain strings.

    Returns:
        None if the text is not a list of quoted strings, numbers and truth values.
    """
    body = text.strip()
    if len(body) < 2 or _BRACKETS.get(body[0]) != body[-1]:
        return None
    body = body[1:-1]
    if _ITEM.sub("", body).strip(" ,\t\r\n"):
        return None
    try:
        return [_value(item) for item in _ITEM.findall(body)]
    except (SyntaxError, ValueError):  # a quoted item with an escape that Python does not know
        return None


def parse_vector(text: str) -> list[str] | None:
    """Parse zeros and ones without brackets: `1,0,1` or `1 0 1`."""
    body = text.strip()
    return re.findall("[01]", body) if _VECTOR.fullmatch(body) else None


def _value(item: str) -> Any:
    if item[0] in "'\"":
        return ast.literal_eval(item)
    return None if item.lower() in _EMPTY else item


def parse_value(text: str) -> Any:
    """Parse a list or an object of JSON or Python. Return any other text unchanged."""
    body = text.strip()
    if len(body) < 2 or _BRACKETS.get(body[0]) != body[-1]:
        return text
    listed = parse_list(body)  # first, because Python reads numpy's ['a' 'b'] as one string
    if listed is not None:
        return listed
    for read in (json.loads, ast.literal_eval):
        try:
            return read(body)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return text
