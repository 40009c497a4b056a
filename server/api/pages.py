"""Pages of lists: the parameters that select their entries, and JSON that a thread renders."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import Query, Response
from pydantic import AfterValidator, AwareDatetime, BeforeValidator

from server import media_types
from server.api.schemas import WireResponse
from server.api.services import Services

PAGE_SIZE: Final = 100
"""Number of entries in a page, unless the request asks for another number."""

_YEAR: Final = re.compile(r"\d{4}-", re.ASCII)

FilterText = Annotated[str | None, Query(max_length=200, pattern=r"^[ -~]*$")]
"""A condition on a column."""


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is before the year 1 or after the year 9999 in UTC") from None


def _is_written_out(text: str) -> str:
    """Reject a number, which pydantic would read as seconds since 1970."""
    if not _YEAR.match(text):
        raise ValueError("expected a time such as 2026-01-31T09:30:00Z")
    return text


UtcTime = Annotated[AwareDatetime, BeforeValidator(_is_written_out), AfterValidator(_in_utc)]
PageSize = Annotated[int, Query(ge=1, le=1000, description="Maximum number of entries.")]


async def page_response(services: Services, make: Callable[[], WireResponse]) -> Response:
    """Read a page and render it as JSON, both on a thread.

    FastAPI would render it on the event loop, and delay all other requests.
    """
    text = await services.read(lambda: make().model_dump_json())
    return Response(text, media_type=media_types.JSON)
