"""Exports: whole tables as CSV or JSON lines, streamed while threads read and render them."""

import csv
import io
from collections.abc import AsyncIterator, Iterable, Iterator
from functools import partial
from typing import Any, Final, Literal

from fastapi.responses import StreamingResponse

from server import media_types
from server.api.auth import is_accepted
from server.api.services import Services
from server.errors import InvalidKey

ExportFormat = Literal["csv", "ndjson"]

EXPORT_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "content": {media_types.CSV: {}, media_types.NDJSON: {}},
        "description": "One record in each line.",
    }
}
"""Documents the response of a route that exports."""


def csv_text(rows: Iterable[Iterable[str]]) -> str:
    """Format rows as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def export_response(
    services: Services,
    pieces: Iterator[str],
    *,
    name: str,
    kind: ExportFormat,
    authorization: str | None,
) -> StreamingResponse:
    """Stream an export.

    If the key becomes invalid meanwhile, the connection is closed before the end of the response.

    Args:
        services: the server's services.
        pieces: reads and renders the next piece, on a thread.
        name: the name of the file, without its ending.
        kind: the format of the pieces.
        authorization: the header of the request.
    """
    return StreamingResponse(
        _checked(services, pieces, authorization),
        media_type=media_types.CSV if kind == "csv" else media_types.NDJSON,
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="{name}.{kind}"',
        },
    )


async def _checked(
    services: Services, pieces: Iterator[str], authorization: str | None
) -> AsyncIterator[str]:
    """Yield the pieces.

    Raises:
        InvalidKey: when the key is not accepted any more. The client sees an incomplete response.
    """
    while (piece := await services.read(partial(next, pieces, None))) is not None:
        if not await is_accepted(authorization, services.keys):
            raise InvalidKey("The API key became invalid during the export. Use a valid key.")
        yield piece
