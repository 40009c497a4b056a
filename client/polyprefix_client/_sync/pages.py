# Generated from _async/pages.py by generate_sync.py. Change that file instead.
"""Lists in pages: `next` of a response is the path of the next one."""

from collections.abc import Iterator
from typing import TypeVar

from polyprefix_client._sync.transport import Transport
from polyprefix_client.conversion import from_json
from polyprefix_client.requests import Call, body_of, get

Value = TypeVar("Value")


def items_of(transport: Transport, call: Call, member: str, kind: type[Value]) -> Iterator[Value]:
    """Yield the items of a list, page by page.

    Args:
        transport: sends the calls.
        call: reads the first page.
        member: the member of a response that holds the items.
        kind: the dataclass of an item.
    """
    following: Call | None = call
    while following is not None:
        body = body_of(transport.send(following))
        for one in body[member]:
            yield from_json(kind, one)
        following = get(body["next"]) if body.get("next") else None
