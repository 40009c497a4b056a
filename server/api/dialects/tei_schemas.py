"""Wire models of text-embeddings-inference."""

from typing import Annotated, Any

from pydantic import Discriminator, Field, JsonValue, Tag

from prefixes.values import at_most
from server.api.dialects.hugging_face_schemas import HubOptions, HubRequest, TextPair
from server.api.dialects.requests import TEXTS_OR_IDS, TextsOrIds
from server.api.schemas import MAX_INPUTS, Model, WireResponse


def _tei_kind(value: Any) -> str | None:
    match value:
        case str():
            return "(text)"
        case [str(), *_]:
            return "(pair)"
        case list():
            return "(batch)"
        case _:
            return None


TeiInputs = Annotated[
    Annotated[str, Tag("(text)")]
    | Annotated[TextPair, Tag("(pair)")]
    | Annotated[list[TextPair], Field(fail_fast=True), at_most(MAX_INPUTS), Tag("(batch)")],
    Discriminator(
        _tei_kind,
        custom_error_type="bad_input",
        custom_error_message='expected "text", ["text"], ["text", "pair"], or a list of one- or '
        'two-element lists such as [["first"], ["second"]]',
    ),
]


class PredictRequest(HubOptions):
    """The request of text-embeddings-inference, with `model` added."""

    inputs: TeiInputs = Field(
        description='`"text"` is one text, `["text", "pair"]` is ONE pair, and '
        '`[["a"], ["b"], ["text", "pair"]]` is a batch.'
    )
    model: Model = None


class EmbedRequest(HubOptions):
    """The request of text-embeddings-inference for vectors, with `model` added."""

    inputs: TextsOrIds = Field(description=TEXTS_OR_IDS)
    model: Model = None


class HubRootRequest(HubRequest):
    """The request of Hugging Face's hosted inference, with `model` added."""

    model: Model = None


class ServerInfo(WireResponse):
    """The description of a server by text-embeddings-inference, for one model."""

    model_id: str
    model_sha: str | None
    model_dtype: str
    model_type: dict[str, JsonValue]
    max_concurrent_requests: int
    max_input_length: int
    max_batch_tokens: int
    max_batch_requests: int | None
    max_client_batch_size: int
    auto_truncate: bool
    version: str
    sha: str | None = None
    docker_label: str | None = None
