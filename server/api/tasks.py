"""The server's own inference routes: one for each task type, and one for all of them.

The inputs of a request may be of many tasks. They share the forward pass, with each other and with
the inputs of other requests. If one input fails, the whole request fails.
"""

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Response

from prefixes.answers import RuleOptions
from prefixes.occlusion import OcclusionOptions
from prefixes.spec import TaskType
from server import media_types
from server.api import request_examples as examples
from server.api.dependencies import bearer
from server.api.direct_route import DirectRoute
from server.api.explanations import occlusion_of
from server.api.inference import ROUTES, Inference, InferenceDep, InputItem
from server.api.json_lists import list_json
from server.api.problem_responses import responses
from server.api.results import OutputOptions, results_of
from server.api.task_requests import (
    AnyTaskRequest,
    ClassifyRequest,
    MultipleChoiceRequest,
    QuestionAnsweringRequest,
    TaskRequest,
    TokenClassificationRequest,
)
from server.api.task_results import (
    AnyResult,
    ClassifyResult,
    Cost,
    MultipleChoiceResult,
    QuestionAnsweringResult,
    TaskResponse,
    TimingsMs,
    TokenClassificationResult,
    Usage,
)
from server.engine.values import InferenceResult
from server.observability.logs import RequestRecord

router = APIRouter(
    route_class=DirectRoute,
    tags=["tasks"],
    dependencies=[Depends(bearer)],
    responses=responses(400, 401, 403, 404, 413, 422, 429, 503, 504, 507),
)


@router.post(
    ROUTES["sequence_classification"],
    summary="Classify texts",
    response_model=TaskResponse[ClassifyResult],
)
async def classify(
    body: Annotated[ClassifyRequest, Body(openapi_examples=examples.CLASSIFY)],
    inference: InferenceDep,
) -> Response:
    """Returns labels with scores. The problem type of the task decides how many labels apply."""
    options = OutputOptions(
        top_k=body.top_k,
        function=body.function_to_apply,
        explain=_occlusion(body),
        rules=RuleOptions(body.rules, body.level),
    )
    return await _answer(body, inference, options, "sequence_classification")


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
    """Returns entities as exact slices of each text, in the shape of transformers' pipelines."""
    options = OutputOptions(strategy=body.aggregation_strategy)
    return await _answer(body, inference, options, "token_classification")


@router.post(
    ROUTES["question_answering"],
    summary="Answer questions from a context",
    response_model=TaskResponse[QuestionAnsweringResult],
)
async def question_answering(
    body: Annotated[QuestionAnsweringRequest, Body(openapi_examples=examples.QUESTION_ANSWERING)],
    inference: InferenceDep,
) -> Response:
    """Returns answers as exact slices of each context, which may have any length.

    The shape is that of transformers' pipelines.
    """
    options = OutputOptions(
        top_k=body.top_k,
        max_answer_tokens=body.max_answer_len,
        may_have_none=body.handle_impossible_answer,
    )
    return await _answer(body, inference, options, "question_answering")


@router.post(
    ROUTES["multiple_choice"],
    summary="Select one of several choices",
    response_model=TaskResponse[MultipleChoiceResult],
)
async def multiple_choice(
    body: Annotated[MultipleChoiceRequest, Body(openapi_examples=examples.MULTIPLE_CHOICE)],
    inference: InferenceDep,
) -> Response:
    """Returns the best of each input's `choices`, with the scores of all."""
    return await _answer(body, inference, OutputOptions(), "multiple_choice")


@router.post(
    "/v1/predict",
    summary="Run inputs of tasks of any type",
    response_model=TaskResponse[AnyResult],
)
async def predict(
    body: Annotated[AnyTaskRequest, Body(openapi_examples=examples.PREDICT)],
    inference: InferenceDep,
) -> Response:
    """Each result has the shape of the route of its task type, which `task_type` names."""
    options = OutputOptions(
        top_k=body.top_k,
        function=body.function_to_apply,
        strategy=body.aggregation_strategy,
        max_answer_tokens=body.max_answer_len,
        may_have_none=body.handle_impossible_answer,
        explain=_occlusion(body),
        rules=RuleOptions(body.rules, body.level),
    )
    return await _answer(body, inference, options, None)


def _occlusion(body: ClassifyRequest | AnyTaskRequest) -> OcclusionOptions | None:
    return occlusion_of(body, num_inputs=len(body.input) if isinstance(body.input, list) else 1)


async def _answer(
    body: TaskRequest, inference: Inference, options: OutputOptions, task_type: TaskType | None
) -> Response:
    items = body.input if isinstance(body.input, list) else [body.input]
    answers = await inference.run(
        [InputItem.of(item) for item in items],
        model=body.model,
        lengths=body.lengths,
        task_type=task_type,
        top_k=options.top_k,
        explain=options.explain,
        rules=options.rules,
    )
    content = await inference.render(answers, partial(_content, answers, options, inference.record))
    return Response(content, media_type=media_types.JSON)


def _content(
    answers: Sequence[InferenceResult], options: OutputOptions, record: RequestRecord
) -> str:
    cost = Cost(
        usage=Usage(tokens=record.num_tokens),
        timings_ms=TimingsMs(
            total=round(record.seconds * 1000, 3),
            queue=round(record.queue_ms, 3),
            device=round(record.device_ms, 3),
        ),
    )
    return list_json("results", results_of(answers, options), cost)
