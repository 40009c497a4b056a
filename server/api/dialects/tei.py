"""The routes of text-embeddings-inference (TEI), so that its clients work unchanged.

Differences from TEI:

- `model` selects the prefix.
- Scores follow the problem type of the task: sigmoid for multi-label tasks, values for regression.
- Errors have the members of RFC 9457 in addition to those of TEI.
- A request with `parameters` comes from a client of Hugging Face's hosted inference, such as
  InferenceClient. It gets a list of scores for every text, even for a single one.
"""

from functools import partial
from typing import Any, TypeGuard

from fastapi import APIRouter, Depends, Response
from pydantic import JsonValue

from prefixes import PrefixSpec
from server.api.dependencies import AuthenticatedRoute, bearer
from server.api.dialects.hugging_face import answer_task, reply
from server.api.dialects.requests import input_items
from server.api.dialects.tei_schemas import EmbedRequest, HubRootRequest, PredictRequest, ServerInfo
from server.api.inference import InferenceDep, InputItem
from server.api.problem_responses import responses
from server.api.schemas import Score
from server.api.services import Services
from server.api.status import program_version

router = APIRouter(
    route_class=AuthenticatedRoute,
    tags=["compatible"],
    dependencies=[Depends(bearer)],
    responses=responses(400, 401, 403, 404, 413, 422, 429, 503, 504, 507),
)


@router.post(
    "/predict",
    summary="Classify as text-embeddings-inference does",
    response_model=list[Score] | list[list[Score]],
)
async def predict(body: PredictRequest, inference: InferenceDep) -> Response:
    """Returns a list of scores for one text or pair, and a list of lists for a batch."""
    inputs, is_batch = _input_items(body.inputs)
    return await reply(
        inference,
        inputs,
        body,
        model=body.model,
        task_type="sequence_classification",
        is_nested=is_batch or body.parameters is not None,
    )


@router.post(
    "/embed",
    summary="Embed texts as text-embeddings-inference does",
    response_model=list[list[float]],
)
async def embed(body: EmbedRequest, inference: InferenceDep) -> Response:
    """Returns one vector for each text, in order."""
    return await reply(
        inference,
        input_items(body.inputs),
        body,
        model=body.model,
        task_type="embedding",
        is_nested=True,
    )


@router.post(
    "/",
    summary="Run a task as text-embeddings-inference does",
    response_class=Response,
)
async def ask_root(body: HubRootRequest, inference: InferenceDep) -> Response:
    """Responds as `/predict`, `/embed` or `/models/{tenant}/{task}`, by the task's type."""
    version = await inference.find(body.model)
    if version.task_type != "sequence_classification" or not _has_tei_shape(body.inputs):
        return await answer_task(body, inference, body.model, version.task_type)
    inputs, is_batch = _input_items(body.inputs)
    return await reply(
        inference,
        inputs,
        body,
        model=body.model,
        task_type=version.task_type,
        is_nested=is_batch or body.parameters is not None,
    )


@router.get(
    "/info",
    summary="Describe the server as text-embeddings-inference does",
)
async def info(inference: InferenceDep, model: str | None = None) -> ServerInfo:
    """Describes the model of the query, else the default model, else only the backbone."""
    services = inference.services
    if model is None and services.settings.default_model is None:
        return _info(services, services.backbone.name, None, {}, services.backbone.max_positions)
    version = await inference.find(model)
    spec = await services.read(partial(services.registry.spec, version.digest))
    return _info(services, str(version.ref), version.digest, _model_type(spec), spec.max_length)


def _info(
    services: Services, name: str, digest: str | None, kind: dict[str, JsonValue], max_length: int
) -> ServerInfo:
    settings = services.settings
    return ServerInfo(
        model_id=name,
        model_sha=digest,
        model_dtype=settings.dtype,
        model_type=kind,
        max_concurrent_requests=settings.max_waiting_inputs,
        max_input_length=max_length,
        max_batch_tokens=settings.max_batch_tokens,
        max_batch_requests=settings.max_batch_rows,
        max_client_batch_size=settings.max_inputs_per_request,
        auto_truncate=True,
        version=program_version(),
    )


def _model_type(spec: PrefixSpec) -> dict[str, JsonValue]:
    if spec.task_type == "embedding":
        return {"embedding": {"pooling": spec.head.pooling}}
    if spec.task_type != "sequence_classification":
        return {spec.task_type: {}}
    names: dict[str, JsonValue] = {str(place): name for place, name in enumerate(spec.labels)}
    places: dict[str, JsonValue] = {name: place for place, name in enumerate(spec.labels)}
    return {"classifier": {"id2label": names, "label2id": places}}


def _has_tei_shape(inputs: Any) -> TypeGuard[str | list[Any]]:
    """Whether inputs are a text, a list of texts, or a list of lists; objects never are."""
    if isinstance(inputs, list):
        return all(isinstance(item, str) for item in inputs) or all(
            isinstance(item, list) for item in inputs
        )
    return isinstance(inputs, str)


def _input_items(inputs: str | list[Any]) -> tuple[list[InputItem], bool]:
    """Return the inputs of TEI's three shapes, and whether they are a batch."""
    if isinstance(inputs, str):
        return [InputItem((inputs,))], False
    if inputs and isinstance(inputs[0], str):
        return [InputItem(tuple(inputs))], False
    return [InputItem(tuple(item)) for item in inputs], True
