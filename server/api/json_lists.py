"""Lists of results as JSON, written one result at a time."""

from collections.abc import Iterable

from server.api.schemas import WireResponse


def list_json(name: str, items: Iterable[WireResponse], others: WireResponse) -> str:
    """Write an object of type `list`: its items under `name`, and the members of `others`.

    One item at a time, for pydantic lets no other thread run while it writes: on a thread of its
    own, a long list written at once would still stop the event loop.
    """
    written = ",".join(item.model_dump_json(exclude_none=True) for item in items)
    return f'{{"object":"list","{name}":[{written}],{others.model_dump_json()[1:]}'
