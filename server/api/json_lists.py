"""Lists of results as JSON, serialized one result at a time."""

from collections.abc import Iterable

from server.api.schemas import WireResponse


def list_json(name: str, items: Iterable[WireResponse], others: WireResponse) -> str:
    """Serialize an object of type `list`: its items under `name`, and the members of `others`.

    Items are serialized one at a time, because pydantic holds the GIL meanwhile. A long list that
    is serialized at once blocks the event loop even from another thread.
    """
    written = ",".join(item.model_dump_json(exclude_none=True) for item in items)
    return f'{{"object":"list","{name}":[{written}],{others.model_dump_json()[1:]}'
