"""POST /v1/classify: texts of any tasks in one request, each answered by its own prefix."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Depends

from server.api.deps import KeyedRoute, RecordDep, bearer
from server.api.inference import Asked, InferenceDep
from server.api.problems import responses
from server.api.schemas import (
    ClassifyRequest,
    ClassifyResponse,
    ClassifyResult,
    InputUsage,
    TimingsMs,
    Usage,
)
from server.api.scores import best_label, chosen_labels, probabilities, ranked
from server.engine.work import Inferred

router = APIRouter(route_class=KeyedRoute, tags=["classify"], dependencies=[Depends(bearer)])

EXAMPLES: Final[dict[str, Any]] = {
    "one text": {"value": {"model": "examples/sst2", "input": "A quiet film that stays with you."}},
    "a pair": {
        "value": {
            "model": "acme/entailment:live",
            "input": {"text": "A man plays a guitar.", "text_pair": "Somebody makes music."},
        }
    },
    "a list over several tasks": {
        "value": {
            "input": [
                {"model": "examples/sst2", "text": "What a waste of two hours."},
                {"model": "examples/trec", "text": "Who wrote Faust?"},
                {"model": "examples/ag-news@1", "text": "Shares fell on Tuesday."},
            ],
            "top_k": 2,
        }
    },
}


@router.post(
    "/v1/classify",
    summary="Classify texts of one task or of several",
    response_model_exclude_none=True,
    responses=responses(401, 404, 413, 422, 429, 503, 504),
)
async def classify(
    body: Annotated[ClassifyRequest, Body(openapi_examples=EXAMPLES)],
    inference: InferenceDep,
    record: RecordDep,
) -> ClassifyResponse:
    """Answer every input, in order; inputs of different tasks share the forward pass.

    A request is answered whole or refused whole.
    """
    items = body.input if isinstance(body.input, list) else [body.input]
    asked = [_asked(item) for item in items]
    answers = await inference.run(asked, model=body.model, truncate=body.truncate, top_k=body.top_k)
    return ClassifyResponse(
        results=[_result(index, answer, body) for index, answer in enumerate(answers)],
        usage=Usage(tokens=record.num_tokens),
        timings_ms=TimingsMs(
            total=round(record.seconds * 1000, 3),
            queue=round(record.queue_ms, 3),
            device=round(record.device_ms, 3),
        ),
    )


def _asked(item: str | Mapping[str, str]) -> Asked:
    if isinstance(item, str):
        return Asked((item,))
    fields = {name: value for name, value in item.items() if name != "model"}
    return Asked(fields, item.get("model"))


def _result(index: int, answer: Inferred, body: ClassifyRequest) -> ClassifyResult:
    scores = probabilities(answer, body.function_to_apply)
    kind = answer.spec.problem_type
    is_one_value = kind == "regression" and len(scores) == 1
    return ClassifyResult(
        index=index,
        model=str(answer.version),
        problem_type=kind,
        label=best_label(answer) if kind == "single_label_classification" else None,
        labels=chosen_labels(answer) if kind == "multi_label_classification" else None,
        value=float(scores[0]) if is_one_value else None,
        scores=ranked(answer.spec, scores, body.top_k),
        usage=InputUsage(tokens=answer.num_tokens, truncated=answer.is_truncated),
    )
