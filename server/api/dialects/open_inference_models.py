"""Routes of the Open Inference Protocol about one model: metadata, readiness and inference.

A task is a model. Its name has a slash, which a client may send as it is, or encoded as `%2F`.
"""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic_core import to_json
from starlette.convertors import register_url_convertor

from prefixes import PrefixRef
from prefixes.lengths import LengthOptions
from prefixes.registry import PrefixVersion
from server import media_types
from server.api.auth import Caller
from server.api.dependencies import CallerDep, ServicesDep, bearer
from server.api.dialects.open_inference_outputs import output_metadata, select, tensors_of
from server.api.dialects.open_inference_requests import (
    ModelConvertor,
    TensorRoute,
    binary_of,
    input_items,
    input_metadata,
)
from server.api.dialects.open_inference_schemas import (
    InferRequest,
    InferResponse,
    ModelMetadata,
    ModelReady,
    OutputTensor,
)
from server.api.dialects.open_inference_tensors import LENGTH_HEADER, Tensor
from server.api.inference import Inference, InferenceDep
from server.api.problem_responses import responses
from server.api.services import Services
from server.api.versions import VersionNumber
from server.engine.values import InferenceResult

PLATFORM: Final = "polyprefix"
_MODEL: Final = "/v2/models/{model:model}"
_VERSION: Final = f"{_MODEL}/versions/{{version}}"

_LOOKUP_ERRORS: Final = responses(401, 403, 404, 422, 503)
_INFERENCE_ERRORS: Final = responses(400, 401, 403, 404, 413, 422, 429, 503, 504, 507)

register_url_convertor("model", ModelConvertor())

router = APIRouter(route_class=TensorRoute, tags=["compatible"], dependencies=[Depends(bearer)])

LengthHeader = Annotated[
    str | None,
    Header(
        alias=LENGTH_HEADER,
        description="Number of bytes of the JSON, if binary tensors follow it.",
    ),
]


@router.post(
    f"{_VERSION}/infer",
    summary="Run a version as KServe does",
    response_model=InferResponse,
    responses=_INFERENCE_ERRORS,
)
async def infer_version(
    model: str,
    version: VersionNumber,
    body: InferRequest,
    request: Request,
    inference: InferenceDep,
    _length: LengthHeader = None,
) -> Response:
    """Returns the outputs of the inputs as tensors, in JSON or in binary."""
    return await _infer(f"{model}@{version}", body, binary_of(request), inference)


@router.post(
    f"{_MODEL}/infer",
    summary="Run a task as KServe does",
    response_model=InferResponse,
    responses=_INFERENCE_ERRORS,
)
async def infer(
    model: str,
    body: InferRequest,
    request: Request,
    inference: InferenceDep,
    _length: LengthHeader = None,
) -> Response:
    """Returns the outputs of the inputs as tensors, in JSON or in binary.

    `model` is `tenant/task`, or `task` alone for the caller's own tenant. It may name an alias.
    """
    return await _infer(model, body, binary_of(request), inference)


@router.get(f"{_VERSION}/ready", summary="Check a version as KServe does", responses=_LOOKUP_ERRORS)
async def version_ready(
    model: str, version: VersionNumber, services: ServicesDep, caller: CallerDep
) -> ModelReady:
    """Responds 404 if the version does not exist, or the caller may not use it."""
    return ModelReady(name=_name(await _find(f"{model}@{version}", services, caller)))


@router.get(f"{_MODEL}/ready", summary="Check a task as KServe does", responses=_LOOKUP_ERRORS)
async def model_ready(model: str, services: ServicesDep, caller: CallerDep) -> ModelReady:
    """Responds 404 if the task does not exist, or the caller may not use it."""
    return ModelReady(name=_name(await _find(model, services, caller)))


@router.get(_VERSION, summary="Describe a version as KServe does", responses=_LOOKUP_ERRORS)
async def describe_version(
    model: str, version: VersionNumber, services: ServicesDep, caller: CallerDep
) -> ModelMetadata:
    """Describes the tensors of a version."""
    found = await _find(f"{model}@{version}", services, caller)
    return await _metadata(found, [str(version)], services)


@router.get(_MODEL, summary="Describe a task as KServe does", responses=_LOOKUP_ERRORS)
async def describe_model(model: str, services: ServicesDep, caller: CallerDep) -> ModelMetadata:
    """Describes the tensors of the version that an alias points to, and lists all versions."""
    found = await _find(model, services, caller)
    show = partial(services.registry.show, found.tenant, found.task, reader=caller.tenant)
    numbers = sorted(one.number for one in (await services.read(show)).versions)
    return await _metadata(found, [str(number) for number in numbers], services)


async def _find(model: str, services: Services, caller: Caller) -> PrefixVersion:
    ref = PrefixRef.parse(model, default_tenant=caller.tenant)
    return await services.read(partial(services.registry.version, ref, reader=caller.tenant))


async def _metadata(found: PrefixVersion, versions: list[str], services: Services) -> ModelMetadata:
    spec = await services.read(partial(services.registry.spec, found.digest))
    return ModelMetadata(
        name=_name(found),
        versions=versions,
        platform=PLATFORM,
        inputs=input_metadata(spec),
        outputs=output_metadata(spec),
    )


def _name(version: PrefixVersion) -> str:
    return f"{version.tenant}/{version.task}"


async def _infer(model: str, body: InferRequest, binary: bytes, inference: Inference) -> Response:
    answers = await inference.run(
        input_items(body.inputs, binary), model=model, lengths=LengthOptions()
    )
    return await inference.render(answers, partial(_response, body, answers))


def _response(body: InferRequest, answers: Sequence[InferenceResult]) -> Response:
    is_binary = bool(body.parameters and body.parameters.binary_data_output)
    outputs: list[OutputTensor] = []
    parts: list[bytes] = []
    for tensor, is_sent_binary in select(tensors_of(answers), body.outputs, is_binary=is_binary):
        part = tensor.to_bytes() if is_sent_binary else None
        outputs.append(_output(tensor, part))
        parts += [] if part is None else [part]
    version = answers[0].version
    document = InferResponse(
        model_name=f"{version.tenant}/{version.task}",
        model_version=str(version.version),
        id=body.id,
        outputs=outputs,
    )
    content = to_json(document, exclude_none=True)
    if not parts:
        return Response(content, media_type=media_types.JSON)
    headers = {LENGTH_HEADER: str(len(content))}
    return Response(b"".join((content, *parts)), headers=headers, media_type=media_types.BYTES)


def _output(tensor: Tensor, part: bytes | None) -> OutputTensor:
    return OutputTensor(
        name=tensor.name,
        datatype=tensor.datatype,
        shape=list(tensor.shape),
        parameters=None if part is None else {"binary_data_size": len(part)},
        data=tensor.to_list() if part is None else None,
    )
