"""Requests of the Open Inference Protocol: bodies with binary tensors, and tensors as inputs."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from fastapi import Request, Response
from starlette.convertors import StringConvertor

from prefixes import PrefixSpec
from prefixes.errors import InputRejected
from prefixes.template import CHOICES
from server import media_types
from server.api.dependencies import AuthenticatedRoute
from server.api.dialects.open_inference_schemas import InputTensor, TensorMetadata
from server.api.dialects.open_inference_tensors import LENGTH_HEADER, split_body, texts_of
from server.api.inference import InputItem
from server.api.unicode_json import UnicodeRequest


class ModelConvertor(StringConvertor):
    """Matches the name of a model in a path: `task` or `tenant/task`.

    The last part of other paths is not a task, so that `GET .../infer` is a wrong method, and not
    the description of a task named `infer`. Such a task can be described with its alias.
    """

    regex = "[^/]+(?:/(?!(?:infer|ready|versions)$)[^/]+)?"


class TensorRoute(AuthenticatedRoute):
    """A route whose body is a JSON document, which binary tensors may follow.

    FastAPI gets the document alone. Clients of Triton send no `Content-Type`, or one of bytes.
    """

    def get_authenticated_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's handler."""
        usual = super().get_authenticated_handler()

        async def handle(request: Request) -> Response:
            header = request.headers.get(LENGTH_HEADER)
            document, binary = split_body(await request.body(), header)
            request.state.binary = binary
            return await usual(_DocumentRequest(request, document))

        return handle


class _DocumentRequest(UnicodeRequest):
    """A request whose body, already received, is a JSON document."""

    def __init__(self, request: Request, document: bytes) -> None:
        others = [pair for pair in request.scope["headers"] if pair[0] != b"content-type"]
        headers = [*others, (b"content-type", media_types.JSON.encode())]
        super().__init__({**request.scope, "headers": headers}, request.receive)
        self._body = document


def binary_of(request: Request) -> bytes:
    """Return what follows the JSON document of a request."""
    binary: bytes = request.state.binary
    return binary


def input_items(tensors: Sequence[InputTensor], binary: bytes) -> list[InputItem]:
    """Return one input for each row of the tensors. They are the fields, by name.

    A task with one field takes a single tensor of any name.

    Raises:
        InputRejected: when the tensors have different numbers of rows, or are not texts.
    """
    columns = {
        tensor.name: _rows(tensor, texts)
        for tensor, texts in zip(tensors, texts_of(tensors, binary), strict=True)
    }
    sizes = {name: len(rows) for name, rows in columns.items()}
    if len(columns) != len(tensors) or len(set(sizes.values())) > 1:
        found = ", ".join(f"{tensor.name!r} {tensor.shape}" for tensor in tensors)
        raise InputRejected(
            "Expected tensors with different names and the same first dimension; found "
            f"{found[:200]}. Send one tensor for each field of the task."
        )
    if len(columns) == 1 and CHOICES not in columns:
        (texts,) = columns.values()
        return [InputItem((text,)) for text in texts]
    return [
        InputItem(dict(zip(columns, row, strict=True)))
        for row in zip(*columns.values(), strict=True)
    ]


def _rows(tensor: InputTensor, texts: list[str]) -> list[Any]:
    """Return the texts of each row: one, or a list of them for `choices`.

    Raises:
        InputRejected: when the shape is another one.
    """
    if tensor.name == CHOICES and len(tensor.shape) == 2:
        width = tensor.shape[1]
        return [texts[row * width : (row + 1) * width] for row in range(tensor.shape[0])]
    if tensor.name != CHOICES and (len(tensor.shape) == 1 or tensor.shape[1:] == [1]):
        return texts
    expected = "[n, k], with n inputs of k choices" if tensor.name == CHOICES else "[n] or [n, 1]"
    raise InputRejected(
        f"The tensor {tensor.name!r} has the shape {tensor.shape}: expected {expected}. Send one "
        "row for each input."
    )


def input_metadata(spec: PrefixSpec) -> list[TensorMetadata]:
    """Describe the tensors that a task takes."""
    shapes: Mapping[str, list[int]] = {CHOICES: [-1, -1]}
    return [
        TensorMetadata(name=name, datatype="BYTES", shape=shapes.get(name, [-1]))
        for name in spec.input.fields
    ]
