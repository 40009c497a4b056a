"""Preconditions of changes: the headers `If-Match` and `If-None-Match`, and `ETag` of responses."""

import re
from collections.abc import Callable
from typing import Annotated, Any, Final, Protocol

from fastapi import Header

from prefixes.registry.aliases import accept_any
from server.errors import BadPrecondition

_NUMBER: Final = re.compile(r'"([1-9][0-9]{0,8})"', re.ASCII)

IfMatch = Annotated[
    str | None, Header(description="The `ETag` that the resource must have now, in quotes.")
]
IfNoneMatch = Annotated[str | None, Header(description="`*`, if the resource must not exist yet.")]


class Revised(Protocol):
    """The state of a resource, with a number that every change replaces."""

    @property
    def revision(self) -> int: ...


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


def revision_check(
    if_match: str | None,
    if_none_match: str | None,
    *,
    noun: str,
    error: type[Exception],
) -> Callable[[Revised | None], None]:
    """Make the check of a precondition, which runs in the transaction of the change.

    Args:
        if_match: the header of the request; None without it.
        if_none_match: likewise.
        noun: the resource of an alias in messages, such as `canary`.
        error: the class of what the check raises.

    Raises:
        BadPrecondition: as `expected_number`.
    """
    if if_match is None and if_none_match is None:
        return accept_any
    expected = expected_number(if_match, if_none_match)

    def check(current: Revised | None) -> None:
        found = None if current is None else current.revision
        if found != expected:
            wanted = f"no {noun}" if expected is None else f"the {noun} with the ETag {expected}"
            raise error(
                f"The alias does not have {wanted}, which the request requires, so nothing was "
                f"changed: show the {noun}, then repeat the request with the current ETag"
            )

    return check
