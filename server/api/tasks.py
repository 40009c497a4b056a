"""The server's own routes: one for each type of task, and one for all types at once.

Every request may hold inputs of many tasks; they share the forward pass, with each other and with
those of other requests. A request is answered whole or refused whole.
"""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Body, Depends, Response

from prefixes.spec import TaskType
from server.api import request_examples as examples
from server.api.dependencies import bearer
from server.api.direct_route import DirectRoute
from server.api.inference import ROUTES, Inference, InferenceDep, InputItem
from server.api.json_lists import list_json
from server.api.problem_responses import responses
from server.api.results import Reading, results_of
from server.api.task_schemas import (
    AnyResult,
    AnyTaskRequest,
    ClassifyRequest,
    ClassifyResult,
    Cost,
    MultipleChoiceRequest,
    MultipleChoiceResult,
    QuestionAnsweringRequest,
    QuestionAnsweringResult,
    TaskRequest,
    TaskResponse,
    TimingsMs,
    TokenClassificationRequest,
    TokenClassificationResult,
    Usage,
)
from server.engine.values import InferenceResult
from server.observability.logs import RequestRecord

router = APIRouter(
    route_class=DirectRoute,
    tags=["tasks"],
    dependencies=[Depends(bearer)],
    responses=responses(400, 401, 404, 413, 422, 429, 503, 504, 507),
)

_JSON: Final = "application/json"


@router.post(
    ROUTES["sequence_classification"],
    summary="Classify texts",
    response_model=TaskResponse[ClassifyResult],
)
async def classify(
    body: Annotated[ClassifyRequest, Body(openapi_examples=examples.CLASSIFY)],
    inference: InferenceDep,
) -> Response:
    """Labels with scores: a single one, several, or numbers, as the task was trained."""
    reading = Reading(top_k=body.top_k, function=body.function_to_apply)
    return await _answer(body, inference, reading, "sequence_classification")


@router.post(
    ROUTES["token_classification"],
    summary="Find entities in texts",
    response_model=TaskResponse[TokenClassificationResult],
)
async def token_classification(
    body: Annotated[
        TokenClassificationRequest, Body(openapi_examples=examples.TOKEN_CLASSIFICATION)
    ],
    inference: InferenceDep,
) -> Response:
    """Entities as exact slices of each text, in the shape of transformers' pipeline."""
    reading = Reading(strategy=body.aggregation_strategy)
    return await _answer(body, inference, reading, "token_classification")


@router.post(
    ROUTES["question_answering"],
    summary="Answer questions out of a context",
    response_model=TaskResponse[QuestionAnsweringResult],
)
async def question_answering(
    body: Annotated[QuestionAnsweringRequest, Body(openapi_examples=examples.QUESTION_ANSWERING)],
    inference: InferenceDep,
) -> Response:
    """Answers as exact slices of each context, however long, as transformers' pipeline has them."""
    reading = Reading(
        top_k=body.top_k,
        max_answer_tokens=body.max_answer_len,
        may_have_none=body.handle_impossible_answer,
    )
    return await _answer(body, inference, reading, "question_answering")


@router.post(
    ROUTES["multiple_choice"],
    summary="Choose among choices",
    response_model=TaskResponse[MultipleChoiceResult],
)
async def multiple_choice(
    body: Annotated[MultipleChoiceRequest, Body(openapi_examples=examples.MULTIPLE_CHOICE)],
    inference: InferenceDep,
) -> Response:
    """The best of each input's `choices`, with the scores of all."""
    return await _answer(body, inference, Reading(), "multiple_choice")


@router.post(
    "/v1/predict",
    summary="Answer inputs of tasks of any types",
    response_model=TaskResponse[AnyResult],
)
async def predict(
    body: Annotated[AnyTaskRequest, Body(openapi_examples=examples.PREDICT)],
    inference: InferenceDep,
) -> Response:
    """Every result as the route of its task's type gives it; `task_type` says which that is."""
    reading = Reading(
        top_k=body.top_k,
        function=body.function_to_apply,
        strategy=body.aggregation_strategy,
        max_answer_tokens=body.max_answer_len,
        may_have_none=body.handle_impossible_answer,
    )
    return await _answer(body, inference, reading, None)


async def _answer(
    body: TaskRequest, inference: Inference, reading: Reading, task_type: TaskType | None
) -> Response:
    items = body.input if isinstance(body.input, list) else [body.input]
    answers = await inference.run(
        [InputItem.of(item) for item in items],
        model=body.model,
        truncate=body.truncate,
        task_type=task_type,
        top_k=reading.top_k,
    )
    content = await inference.read(answers, partial(_content, answers, reading, inference.record))
    return Response(content, media_type=_JSON)


def _content(answers: Sequence[InferenceResult], reading: Reading, record: RequestRecord) -> str:
    cost = Cost(
        usage=Usage(tokens=record.num_tokens),
        timings_ms=TimingsMs(
            total=round(record.seconds * 1000, 3),
            queue=round(record.queue_ms, 3),
            device=round(record.device_ms, 3),
        ),
    )
    return list_json("results", results_of(answers, reading), cost)
