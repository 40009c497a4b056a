"""The header `Idempotency-Key`, as in the IETF's draft-ietf-httpapi-idempotency-key-header."""

import hashlib
import re
from typing import Annotated, Final

from fastapi import Header, Request

from prefixes.registry import IdempotencyKey
from server.errors import BadIdempotencyKey

_KEY: Final = re.compile(r'"([!#-~ ]{1,255})"|([!#-~]{1,255})', re.ASCII)
"""A string in quotes, as in the draft, or without quotes, as most clients send it."""

IdempotencyHeader = Annotated[
    str | None,
    Header(
        description="A unique name of this change. A request that repeats the name within 24 hours "
        "gets the result of the first one, and changes nothing."
    ),
]


def key_of(header: str | None, request: Request, *content: str | None) -> IdempotencyKey | None:
    """Return the key of a request; None if it has none.

    Args:
        header: the value of `Idempotency-Key`.
        request: the request, whose path counts as a part of what it asks for.
        content: everything else that it asks for.

    Raises:
        BadIdempotencyKey: when the header is not well formed.
    """
    if header is None:
        return None
    found = _KEY.fullmatch(header.strip())
    if found is None:
        raise BadIdempotencyKey(
            "Invalid Idempotency-Key: expected 1 to 255 printable ASCII characters, such as a "
            "random UUID, with or without quotes around them"
        )
    parts = (request.method, request.scope["path"], *content)
    fingerprint = hashlib.sha256(repr(parts).encode()).hexdigest()
    return IdempotencyKey(found[1] or found[2], fingerprint)
