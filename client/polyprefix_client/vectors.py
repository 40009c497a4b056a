"""Reads the response of `POST /v1/embeddings`."""

import base64
import struct
from typing import Any

from polyprefix_client.errors import InvalidResponse
from polyprefix_client.predictions import Embedding, Results


def embeddings_of(body: Any, request_id: str) -> Results[Embedding]:
    """Read vectors in base64. The route reports neither timings nor the tokens of each text.

    Raises:
        InvalidResponse: when the response has another form.
    """
    try:
        model, tokens = str(body["model"]), int(body["usage"]["total_tokens"])
        found = tuple(
            Embedding(
                index=int(one["index"]),
                model=model,
                usage=None,
                request_id=request_id,
                vector=_floats(one["embedding"]),
            )
            for one in body["data"]
        )
    except (KeyError, TypeError, ValueError, struct.error) as error:
        raise InvalidResponse(
            f"The response has no valid embeddings: {error!r}. Check that the URL is that of a "
            "polyprefix server, and update the client."
        ) from error
    return Results(found, tokens, None, request_id)


def _floats(text: str) -> tuple[float, ...]:
    data = base64.b64decode(text, validate=True)
    return struct.unpack(f"<{len(data) // 4}f", data)
