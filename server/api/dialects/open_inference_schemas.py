"""Wire models of the Open Inference Protocol, version 2 (KServe and Triton)."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from prefixes.values import at_most
from server.api.dialects.requests import DialectRequest
from server.api.schemas import MAX_INPUTS, WireResponse

MAX_TENSORS: Final = 100
_MAX_DIMENSIONS: Final = 8
_MAX_NAME: Final = 200

_Name = Annotated[str, Field(max_length=_MAX_NAME)]
_Size = Annotated[int, Field(ge=0, lt=2**31)]

_Shape = Annotated[list[_Size], Field(fail_fast=True), at_most(_MAX_DIMENSIONS)]


class TensorParameters(DialectRequest):
    binary_data_size: int | None = Field(
        default=None, ge=0, description="Number of bytes of this tensor after the JSON."
    )


class InputTensor(DialectRequest):
    """The texts of one field of the task, one for each input."""

    name: _Name
    shape: _Shape = Field(description="`[n]` or `[n, 1]`; `[n, k]` for `choices`.")
    datatype: Literal["BYTES"]
    parameters: TensorParameters | None = None
    data: Annotated[list[Any], at_most(MAX_INPUTS)] | None = Field(
        default=None, description="The texts, as a flat or a nested list."
    )


class OutputParameters(DialectRequest):
    binary_data: bool | None = None
    classification: int | None = Field(
        default=None,
        ge=0,
        description="Maximum number of best labels to return. 0: returns scores.",
    )


class RequestedOutput(DialectRequest):
    name: _Name
    parameters: OutputParameters | None = None


class InferParameters(DialectRequest):
    binary_data_output: bool | None = Field(
        default=None, description="Whether outputs are binary that do not say so themselves."
    )


_Inputs = Annotated[list[InputTensor], Field(fail_fast=True), at_most(MAX_TENSORS)]
_Outputs = Annotated[list[RequestedOutput], Field(fail_fast=True), at_most(MAX_TENSORS)]


class InferRequest(DialectRequest):
    id: str | None = Field(default=None, max_length=_MAX_NAME)
    parameters: InferParameters | None = None
    inputs: _Inputs = Field(description="One tensor for each field of the task.")
    outputs: _Outputs | None = Field(default=None, description="Null: all outputs.")


class OutputTensor(WireResponse):
    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, int] | None = Field(
        default=None, description="`binary_data_size`, if the values follow the JSON."
    )
    data: list[Any] | None = Field(default=None, description="The values, as a flat list.")


class InferResponse(WireResponse):
    model_name: str
    model_version: str = Field(description="The version that was used.")
    id: str | None = None
    outputs: list[OutputTensor]


class ServerMetadata(WireResponse):
    name: str
    version: str
    extensions: list[str]


class ServerLive(WireResponse):
    live: Literal[True] = True


class ServerReady(WireResponse):
    ready: Literal[True] = True


class ModelReady(WireResponse):
    name: str
    ready: Literal[True] = True


class TensorMetadata(WireResponse):
    name: str
    datatype: str
    shape: list[int] = Field(description="-1 stands for any number.")


class ModelMetadata(WireResponse):
    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class IndexRequest(DialectRequest):
    ready: bool | None = None


class IndexEntry(WireResponse):
    name: str
    version: str
    state: Literal["READY"] = "READY"
    reason: str = ""
