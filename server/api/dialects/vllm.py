"""POST /classify in the shape of vLLM, with the ranked scores of all labels added."""

import time
import uuid

from fastapi import APIRouter, Depends

from prefixes.answers import decide, rules_of
from prefixes.lengths import LengthOptions
from server.api.dependencies import AuthenticatedRoute, RecordDep, bearer
from server.api.dialects.requests import input_items
from server.api.dialects.vllm_schemas import (
    VllmClass,
    VllmClassifyRequest,
    VllmClassifyResponse,
    VllmUsage,
)
from server.api.inference import InferenceDep
from server.api.problem_responses import responses
from server.api.scores import probabilities, ranked_scores
from server.engine.values import InferenceResult

router = APIRouter(
    route_class=AuthenticatedRoute, tags=["compatible"], dependencies=[Depends(bearer)]
)


@router.post(
    "/classify",
    summary="Classify as vLLM does",
    responses=responses(400, 401, 403, 404, 413, 422, 429, 503, 504, 507),
)
async def classify(
    body: VllmClassifyRequest, inference: InferenceDep, record: RecordDep
) -> VllmClassifyResponse:
    """Returns the best label of each text, and its probabilities in the order of the labels."""
    answers = await inference.run(
        input_items(body.input),
        model=body.model,
        lengths=LengthOptions(truncate=body.truncate_prompt_tokens is not None),
        task_type="sequence_classification",
    )
    has_activation = body.use_activation is not False
    return VllmClassifyResponse(
        id=f"classify-{body.request_id or uuid.uuid4().hex}",
        created=int(time.time()),
        model=str(answers[0].version),
        data=[_class(index, answer, has_activation) for index, answer in enumerate(answers)],
        usage=VllmUsage(prompt_tokens=record.num_tokens, total_tokens=record.num_tokens),
    )


def _class(index: int, answer: InferenceResult, has_activation: bool) -> VllmClass:  # noqa: FBT001 - wire flag
    probs = probabilities(answer, None if has_activation else "none")
    return VllmClass(
        index=index,
        label=_label(answer),
        probs=probs.tolist(),
        num_classes=len(probs),
        scores=ranked_scores(answer.spec.labels, probs),
    )


def _label(answer: InferenceResult) -> str | None:
    """Return the answer of a single-label task, else the label with the highest score."""
    spec, (logits,) = answer.spec, answer.outputs
    if spec.problem_type != "single_label_classification":
        return spec.labels[int(logits.argmax())]
    return decide(spec, logits, rules_of(spec, answer.rules), answer.features).label
