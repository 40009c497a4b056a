"""Preconditions of changes: the headers `If-Match` and `If-None-Match`, and `ETag` of responses."""

import re
from typing import Annotated, Any, Final

from fastapi import Header

from server.errors import BadPrecondition

_NUMBER: Final = re.compile(r'"([1-9][0-9]{0,8})"', re.ASCII)

IfMatch = Annotated[
    str | None, Header(description="The `ETag` that the resource must have now, in quotes.")
]
IfNoneMatch = Annotated[str | None, Header(description="`*`, if the resource must not exist yet.")]


def with_etag(meaning: str) -> dict[int | str, dict[str, Any]]:
    """Describe the `ETag` of a successful response for the OpenAPI document."""
    header = {"description": meaning, "schema": {"type": "string"}}
    return {200: {"headers": {"ETag": header}}}


def etag(state: int | str) -> str:
    """Return the `ETag` of a resource whose state has this number or tag."""
    return f'"{state}"'


def expected_number(if_match: str | None, if_none_match: str | None) -> int | None:
    """Return the number that the state of a resource must have; None if it must not exist.

    Raises:
        BadPrecondition: when the headers mean anything else.
    """
    if if_match is None and (if_none_match or "").strip() == "*":
        return None
    number = _NUMBER.fullmatch((if_match or "").strip())
    if number is not None and if_none_match is None:
        return int(number[1])
    raise BadPrecondition(
        'Invalid precondition: send one of `If-Match: "3"`, with the `ETag` that the resource has '
        "now, and `If-None-Match: *`."
    )
