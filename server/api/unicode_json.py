"""Halves of surrogate pairs: JSON can write them, UTF-8 cannot, so no reply could carry them."""

import re
from typing import Any, Final

from fastapi import Request
from fastapi.exceptions import RequestValidationError

Place = tuple[str | int, ...]

_ESCAPE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
"""How JSON writes one; a pair that is whole is written so, too."""
_HALF: Final = re.compile("[\ud800-\udfff]")
_MESSAGE: Final = (
    "is not valid Unicode: expected whole characters, found half of a surrogate pair; send the "
    "text as UTF-8"
)


def half_in(value: Any) -> Place | None:
    """Find the first text of a JSON value that is not valid Unicode; names of members count."""
    waiting: list[tuple[Place, Any]] = [((), value)]
    while waiting:
        place, one = waiting.pop()
        if isinstance(one, str) and _HALF.search(one):
            return place
        if isinstance(one, dict):
            if any(_HALF.search(name) for name in one):
                return place
            waiting += [((*place, name), item) for name, item in reversed(one.items())]
        elif isinstance(one, list):
            waiting += [((*place, number), one[number]) for number in reversed(range(len(one)))]
    return None


def refuse_half(value: Any, *within: str) -> None:
    """Refuse a JSON value with text that is not valid Unicode.

    Raises:
        RequestValidationError: naming the member.
    """
    place = half_in(value)
    if place is not None:
        error = {"type": "value_error", "loc": ("body", *within, *place), "msg": _MESSAGE}
        raise RequestValidationError([{**error, "input": None}])


def without_halves(value: Any) -> Any:
    """Give a JSON value with U+FFFD for each half: what was stored before can still be shown."""
    if isinstance(value, str):
        return _HALF.sub("\ufffd", value)
    if isinstance(value, dict):
        return {without_halves(name): without_halves(item) for name, item in value.items()}
    if isinstance(value, list):
        return [without_halves(item) for item in value]
    return value


class UnicodeRequest(Request):
    """A request whose JSON is refused where a text in it is not valid Unicode."""

    async def json(self) -> Any:
        """Parse the body.

        Raises:
            RequestValidationError: naming the member. FastAPI makes it the cause of a 400, of which
                `problems` makes a 422 again.
        """
        value = await super().json()
        if _ESCAPE.search(await self.body()):
            refuse_half(value)
        return value
