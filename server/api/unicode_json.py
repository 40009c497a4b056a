"""JSON whose texts are valid Unicode: JSON can write half of a surrogate pair, UTF-8 cannot."""

import re
from typing import Any, Final

from fastapi import Request
from fastapi.exceptions import RequestValidationError

from prefixes.characters import first_surrogate, replace_surrogates

Place = tuple[str | int, ...]

_ESCAPE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
"""The escape of either half. A whole pair is written with it as well."""
_MESSAGE: Final = (
    "is not valid Unicode: expected whole characters, found half of a surrogate pair. Send the "
    "text as UTF-8."
)


def place_of_surrogate(value: Any) -> Place | None:
    """Find the first text of a JSON value that is not valid Unicode, names of members included."""
    waiting: list[tuple[Place, Any]] = [((), value)]
    while waiting:
        place, one = waiting.pop()
        if isinstance(one, str) and first_surrogate(one) is not None:
            return place
        if isinstance(one, dict):
            if any(first_surrogate(name) is not None for name in one):
                return place
            waiting += [((*place, name), item) for name, item in reversed(one.items())]
        elif isinstance(one, list):
            waiting += [((*place, number), one[number]) for number in reversed(range(len(one)))]
    return None


def check_unicode(value: Any, *within: str) -> None:
    """Check that every text of a JSON value is valid Unicode.

    Raises:
        RequestValidationError: naming the member.
    """
    place = place_of_surrogate(value)
    if place is not None:
        error = {"type": "value_error", "loc": ("body", *within, *place), "msg": _MESSAGE}
        raise RequestValidationError([{**error, "input": None}])


def with_valid_unicode(value: Any) -> Any:
    """Replace each half of a pair in a JSON value, so that older stored values can be shown."""
    if isinstance(value, str):
        return replace_surrogates(value)
    if isinstance(value, dict):
        return {with_valid_unicode(name): with_valid_unicode(item) for name, item in value.items()}
    if isinstance(value, list):
        return [with_valid_unicode(item) for item in value]
    return value


class UnicodeRequest(Request):
    """A request that rejects JSON with a text that is not valid Unicode."""

    async def json(self) -> Any:
        """Parse the body.

        Raises:
            RequestValidationError: naming the member. FastAPI makes it the cause of a 400, which
                `problem_of` turns into a 422 again.
        """
        value = await super().json()
        if _ESCAPE.search(await self.body()):
            check_unicode(value)
        return value
