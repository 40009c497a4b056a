"""Pages of lists: how many entries a request asks for, and JSON that a thread renders."""

from collections.abc import Callable
from typing import Annotated, Final

from fastapi import Query, Response

from server import media_types
from server.api.schemas import WireResponse
from server.api.services import Services

PAGE_SIZE: Final = 100
"""Number of entries in a page, unless the request asks for another number."""

PageSize = Annotated[int, Query(ge=1, le=1000, description="Maximum number of entries.")]


async def page_response(services: Services, make: Callable[[], WireResponse]) -> Response:
    """Read a page and render it as JSON, both on a thread.

    FastAPI would render it on the event loop, and delay all other requests.
    """
    text = await services.read(lambda: make().model_dump_json())
    return Response(text, media_type=media_types.JSON)
