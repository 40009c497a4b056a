"""Lists in pages: `next` of a response is the path of the next one."""

from collections.abc import AsyncIterator
from typing import TypeVar

from polyprefix_client._async.transport import AsyncTransport
from polyprefix_client.conversion import from_json
from polyprefix_client.requests import Call, body_of, get

Value = TypeVar("Value")


async def items_of(
    transport: AsyncTransport, call: Call, member: str, kind: type[Value]
) -> AsyncIterator[Value]:
    """Yield the items of a list, page by page.

    Args:
        transport: sends the calls.
        call: reads the first page.
        member: the member of a response that holds the items.
        kind: the dataclass of an item.
    """
    following: Call | None = call
    while following is not None:
        body = body_of(await transport.send(following))
        for one in body[member]:
            yield from_json(kind, one)
        following = get(body["next"]) if body.get("next") else None
