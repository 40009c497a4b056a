"""POST /predict as text-embeddings-inference answers it, so that its clients work unchanged.

Beyond it: `model` chooses the prefix; scores follow the task's problem type (sigmoid for
multi-label tasks, plain values for regression); errors carry RFC 9457 members beside TEI's own.
"""

from fastapi import APIRouter, Depends, Response

from server.api.deps import KeyedRoute, RecordDep, bearer
from server.api.inference import Asked, InferenceDep
from server.api.problems import responses
from server.api.schemas import FunctionToApply, PredictRequest, Score
from server.api.scores import probabilities, ranked_scores

router = APIRouter(route_class=KeyedRoute, tags=["compatible"], dependencies=[Depends(bearer)])


@router.post(
    "/predict",
    summary="Classify as text-embeddings-inference does",
    responses=responses(401, 404, 413, 422, 429, 503, 504),
)
async def predict(
    body: PredictRequest, inference: InferenceDep, record: RecordDep, response: Response
) -> list[Score] | list[list[Score]]:
    """One text or pair gives a flat list of scores, a batch a list of lists; highest first."""
    texts, is_batch = _texts(body.inputs)
    answers = await inference.run(
        [Asked(tuple(item)) for item in texts],
        model=body.model,
        truncate=body.truncate is not False,
        task_type="sequence_classification",
    )
    function: FunctionToApply | None = "none" if body.raw_scores else None
    scores = [ranked_scores(answer.spec, probabilities(answer, function)) for answer in answers]
    response.headers["x-compute-tokens"] = str(record.num_tokens)
    response.headers["x-queue-time"] = str(round(record.queue_ms))
    response.headers["x-inference-time"] = str(round(record.device_ms))
    response.headers["x-total-time"] = str(round(record.seconds * 1000))
    return scores if is_batch else scores[0]


def _texts(inputs: str | list[str] | list[list[str]]) -> tuple[list[list[str]], bool]:
    """Tell TEI's three shapes apart: a text, one text or pair in a list, a list of such lists."""
    if isinstance(inputs, str):
        return [[inputs]], False
    batch = [item for item in inputs if isinstance(item, list)]
    if batch or not inputs:
        return batch, True
    return [[item for item in inputs if isinstance(item, str)]], False
