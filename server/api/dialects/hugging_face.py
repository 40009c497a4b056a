"""POST /models/{tenant}/{task}: one URL per task, as Hugging Face's InferenceClient needs it.

That client cannot send `model`. The response has the shape of Hugging Face's hosted inference for
the task's type.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from fastapi import APIRouter, Depends, Response
from numpy.typing import NDArray
from pydantic_core import to_json

from prefixes.errors import InputRejected
from prefixes.lengths import LengthOptions
from prefixes.spec import TaskType
from server import media_types
from server.api.dependencies import AuthenticatedRoute, bearer
from server.api.dialects.hugging_face_schemas import HubOptions, HubParameters, HubRequest
from server.api.dialects.requests import check_dimensions
from server.api.inference import Inference, InferenceDep, InputItem
from server.api.problem_responses import responses
from server.api.results import OutputOptions, results_of
from server.api.task_results import (
    AnyResult,
    ClassifyResult,
    QuestionAnsweringResult,
    TokenClassificationResult,
)
from server.engine.values import InferenceResult
from server.observability.logs import RequestRecord

router = APIRouter(
    route_class=AuthenticatedRoute, tags=["compatible"], dependencies=[Depends(bearer)]
)

Item = str | Mapping[str, str | list[str]] | list[str]

_SOURCE: Final = "source_sentence"
_SENTENCES: Final = "sentences"
_COMMON: Final = frozenset({"index", "model", "usage", "task_type"})


@router.post(
    "/models/{tenant}/{task}",
    summary="Run a task as Hugging Face's hosted inference does",
    response_class=Response,
    responses=responses(400, 401, 403, 404, 413, 422, 429, 503, 504, 507),
)
async def ask_task(tenant: str, task: str, body: HubRequest, inference: InferenceDep) -> Response:
    """Returns scores, entities, answers or vectors, by the task's type.

    `task` may have a version or an alias, such as `spam@3` or `spam:live`.
    """
    model = f"{tenant}/{task}"
    return await answer_task(body, inference, model, (await inference.find(model)).task_type)


async def answer_task(
    body: HubRequest, inference: Inference, model: str | None, task_type: TaskType
) -> Response:
    """Respond in the shape of the hosted inference, where a list is a list of inputs."""
    if _is_comparison(body.inputs, task_type):
        return await _compare(body, inference, model)
    return await reply(
        inference,
        _input_items(body.inputs),
        body,
        model=model,
        task_type=task_type,
        is_nested=isinstance(body.inputs, list) or _is_listed(task_type),
    )


async def reply(
    inference: Inference,
    inputs: Sequence[InputItem],
    options: HubOptions,
    *,
    model: str | None,
    task_type: TaskType,
    is_nested: bool,
) -> Response:
    """Respond in Hugging Face's shapes: a list of all results, or the only result."""
    output_options = _output_options(options)
    answers = await inference.run(
        inputs,
        model=model,
        lengths=LengthOptions(truncate=options.truncate is not False),
        task_type=task_type,
        top_k=output_options.top_k,
    )
    items = await inference.render(answers, partial(_items, answers, options, output_options))
    content = to_json(items if is_nested else items[0])
    headers = _cost_headers(inference.record)
    return Response(content, headers=headers, media_type=media_types.JSON)


def _input_items(inputs: Item | Sequence[Item]) -> list[InputItem]:
    """Return the inputs: a text, an object of fields, or each entry of a list."""
    items = inputs if isinstance(inputs, list) else [inputs]
    return [InputItem(_fields(item)) for item in items]


def _fields(item: Any) -> Any:
    if isinstance(item, str):
        return (item,)
    return tuple(item) if isinstance(item, list) else item


def _is_listed(task_type: TaskType) -> bool:
    """Whether the hosted inference returns a list even for a single input."""
    return task_type in {"sequence_classification", "embedding"}


def _output_options(options: HubOptions) -> OutputOptions:
    parameters = options.parameters or HubParameters()
    return OutputOptions(
        top_k=parameters.top_k,
        function="none" if options.raw_scores else parameters.function_to_apply,
        strategy=parameters.aggregation_strategy or "first",
        max_answer_tokens=parameters.max_answer_len,
        may_have_none=parameters.handle_impossible_answer,
    )


def _items(
    answers: Sequence[InferenceResult], hub: HubOptions, options: OutputOptions
) -> list[Any]:
    if answers[0].spec.task_type == "embedding":
        return [vector.tolist() for vector in _vectors(answers, hub)]
    ignored = frozenset((hub.parameters or HubParameters()).ignore_labels or ())
    return [_item(result, ignored) for result in results_of(answers, options)]


def _vectors(answers: Sequence[InferenceResult], options: HubOptions) -> list[NDArray[np.float32]]:
    check_dimensions(answers, options.dimensions)
    vectors = [answer.outputs[0] for answer in answers]
    return [_unit(vector) for vector in vectors] if options.normalize else vectors


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = vector / max(float(np.linalg.norm(vector)), 1e-12)
    return unit


def _item(result: AnyResult, ignored: frozenset[str]) -> Any:
    match result:
        case ClassifyResult():
            return result.scores
        case TokenClassificationResult():
            return [entity for entity in result.entities if not ignored & set(_types(entity))]
        case QuestionAnsweringResult() if result.answers is not None and len(result.answers) > 1:
            return result.answers
        case QuestionAnsweringResult():
            return result.model_dump(include={"score", "start", "end", "answer"})
        case _:
            return result.model_dump(exclude=set(_COMMON))


def _types(entity: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(entity[name] for name in ("entity", "entity_group") if name in entity)


def _is_comparison(inputs: object, task_type: TaskType) -> bool:
    return task_type == "embedding" and isinstance(inputs, dict) and _SENTENCES in inputs


async def _compare(body: HubRequest, inference: Inference, model: str | None) -> Response:
    """Return the cosine similarity of one text with each of several others."""
    source, sentences = _compared(body.inputs)
    answers = await inference.run(
        [InputItem((text,)) for text in (source, *sentences)],
        model=model,
        lengths=LengthOptions(truncate=body.truncate is not False),
        task_type="embedding",
    )
    first, *others = (_unit(answer.outputs[0]) for answer in answers)
    content = to_json([float(first @ other) for other in others])
    headers = _cost_headers(inference.record)
    return Response(content, headers=headers, media_type=media_types.JSON)


def _compared(inputs: Any) -> tuple[str, list[str]]:
    source, sentences = inputs.get(_SOURCE), inputs[_SENTENCES]
    if (
        set(inputs) != {_SOURCE, _SENTENCES}
        or isinstance(source, list)
        or isinstance(sentences, str)
    ):
        raise InputRejected(
            f"Invalid comparison: expected `{_SOURCE}`, a text, and `{_SENTENCES}`, a list of "
            f"texts; found {', '.join(map(repr, sorted(inputs)))[:200]}. Send exactly these two."
        )
    return source, sentences


def _cost_headers(record: RequestRecord) -> dict[str, str]:
    """Return the headers in which text-embeddings-inference reports the cost of a request."""
    return {
        "x-compute-tokens": str(record.num_tokens),
        "x-queue-time": str(round(record.queue_ms)),
        "x-inference-time": str(round(record.device_ms)),
        "x-total-time": str(round(record.seconds * 1000)),
    }
