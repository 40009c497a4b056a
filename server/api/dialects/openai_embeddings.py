"""POST /v1/embeddings in the shape of OpenAI, which is also the server's own embedding route.

Differences from OpenAI: `model` selects the prefix, and `truncate`, `long_text` and `stride` say
how texts are read that are too long.
"""

import base64
from collections.abc import Sequence
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Response

from server import media_types
from server.api import request_examples as examples
from server.api.dependencies import bearer
from server.api.dialects.openai_schemas import (
    Embedding,
    EmbeddingsRequest,
    EmbeddingsResponse,
    EmbeddingsTotal,
    EmbeddingsUsage,
    EncodingFormat,
)
from server.api.dialects.requests import check_dimensions, input_items
from server.api.direct_route import DirectRoute
from server.api.inference import ROUTES, InferenceDep
from server.api.json_lists import list_json
from server.api.problem_responses import responses
from server.engine.values import InferenceResult

router = APIRouter(route_class=DirectRoute, tags=["compatible"], dependencies=[Depends(bearer)])


@router.post(
    ROUTES["embedding"],
    summary="Embed texts as OpenAI does",
    response_model=EmbeddingsResponse,
    responses=responses(400, 401, 403, 404, 413, 422, 429, 503, 504, 507),
)
async def embeddings(
    body: Annotated[EmbeddingsRequest, Body(openapi_examples=examples.EMBEDDINGS)],
    inference: InferenceDep,
) -> Response:
    """Returns one vector for each text, in order: numbers, or base64 of little-endian float32."""
    answers = await inference.run(
        input_items(body.input),
        model=body.model,
        lengths=body.lengths,
        task_type="embedding",
    )
    check_dimensions(answers, body.dimensions)
    encoding = body.encoding_format or "float"
    content = await inference.render(answers, partial(_content, answers, encoding))
    return Response(content, media_type=media_types.JSON)


def _content(answers: Sequence[InferenceResult], encoding: EncodingFormat) -> str:
    num_tokens = sum(answer.num_tokens for answer in answers)
    total = EmbeddingsTotal(
        model=str(answers[0].version),
        usage=EmbeddingsUsage(prompt_tokens=num_tokens, total_tokens=num_tokens),
    )
    vectors = (
        Embedding(index=index, embedding=_vector(answer, encoding))
        for index, answer in enumerate(answers)
    )
    return list_json("data", vectors, total)


def _vector(answer: InferenceResult, encoding: EncodingFormat) -> list[float] | str:
    (vector,) = answer.outputs
    if encoding == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    values: list[float] = vector.tolist()
    return values
