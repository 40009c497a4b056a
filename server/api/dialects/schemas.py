"""Wire models of the routes that speak the dialects of OpenAI, vLLM and Hugging Face."""

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Discriminator, Field, JsonValue, Tag

from prefixes.answers import Strategy
from prefixes.spec import TaskType
from prefixes.values import at_most
from server.api.dialects.base import DialectRequest, TextsOrIds
from server.api.schemas import (
    MAX_INPUTS,
    FieldsOfText,
    FunctionToApply,
    Model,
    Score,
    WireResponse,
)

_TEXTS = (
    "A text or a list of texts; or the ids of the backbone's own tokenizer, as one or more lists."
)

_Truncate = Annotated[
    bool | None, Field(description="Cut texts that are too long; null means true.")
]
_Direction = Annotated[
    Literal["right", "Right"] | None,
    Field(description="Texts are cut at their end only; null means right."),
]
_Dimensions = Annotated[
    int | None, Field(ge=1, description="Null, or the number that the task's vectors have.")
]
_Prompt = Annotated[
    None, Field(description="Not supported: a prompt is part of the task's template.")
]


class HubParameters(DialectRequest):
    """The options of Hugging Face's pipelines; each for the task types that have it."""

    top_k: int | None = Field(default=None, ge=1, description="Best labels or answers to give.")
    function_to_apply: FunctionToApply | None = None
    aggregation_strategy: Strategy | None = None
    ignore_labels: Annotated[list[str] | None, at_most(MAX_INPUTS)] = Field(
        default=None, description="Entity types to leave out."
    )
    max_answer_len: int | None = Field(default=None, ge=1, le=10_000)
    handle_impossible_answer: bool | None = None


class HubOptions(DialectRequest):
    """What Hugging Face's servers take next to `inputs`; each for the task types that have it."""

    parameters: HubParameters | None = None
    truncate: _Truncate = None
    truncation_direction: _Direction = None
    raw_scores: bool | None = Field(default=None, description="Give logits, not probabilities.")
    normalize: bool | None = Field(
        default=None, description="True brings vectors to length 1; otherwise as the task has them."
    )
    dimensions: _Dimensions = None
    prompt_name: _Prompt = None


_Pair = Annotated[list[str], Field(min_length=1, max_length=2, fail_fast=True)]


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
    | Annotated[_Pair, Tag("(pair)")]
    | Annotated[list[_Pair], Field(fail_fast=True), at_most(MAX_INPUTS), Tag("(batch)")],
    Discriminator(
        _tei_kind,
        custom_error_type="bad_input",
        custom_error_message='expected "text", ["text"], ["text", "pair"], or a list of one- or '
        'two-element lists such as [["first"], ["second"]]',
    ),
]


class PredictRequest(HubOptions):
    """text-embeddings-inference's request, and `model`."""

    inputs: TeiInputs = Field(
        description='`"text"`; `["text", "pair"]` is ONE pair; `[["a"], ["b"], ["text", "pair"]]` '
        "is a batch."
    )
    model: Model = None


class EmbedRequest(HubOptions):
    """text-embeddings-inference's request for vectors, and `model`."""

    inputs: TextsOrIds = Field(description=_TEXTS)
    model: Model = None


def _hub_kind(value: Any) -> str | None:
    match value:
        case str():
            return "(text)"
        case list():
            return "(pair)"
        case dict():
            return "(fields)"
        case _:
            return None


_HUB_EXPECTED = 'expected a text, an object of texts such as {"question": "...", "context": "..."}'
_HubItem = Annotated[
    Annotated[str, Tag("(text)")] | FieldsOfText | Annotated[_Pair, Tag("(pair)")],
    Discriminator(
        _hub_kind,
        custom_error_type="bad_input",
        custom_error_message=f"{_HUB_EXPECTED}, or a list of a text and its pair",
    ),
]


def _hub_inputs_kind(value: Any) -> str | None:
    return "(list)" if isinstance(value, list) else _hub_kind(value)


HubInputs = Annotated[
    Annotated[str, Tag("(text)")]
    | FieldsOfText
    | Annotated[list[_HubItem], Field(fail_fast=True), at_most(MAX_INPUTS), Tag("(list)")],
    Discriminator(
        _hub_inputs_kind,
        custom_error_type="bad_input",
        custom_error_message=f"{_HUB_EXPECTED}, or a list of these",
    ),
]


class HubRequest(HubOptions):
    """The request of Hugging Face's hosted inference; its URL names the task."""

    inputs: HubInputs = Field(
        description="A text, an object with the task's fields, or a list of these. For embeddings "
        "also `source_sentence` and `sentences`, to be compared."
    )


class HubRootRequest(HubRequest):
    """The request of Hugging Face's hosted inference, and `model`."""

    model: Model = None


class VllmClassifyRequest(DialectRequest):
    """vLLM's request, as far as it says something about an encoder of texts."""

    model: Model = None
    input: TextsOrIds = Field(description=_TEXTS)
    truncate_prompt_tokens: Literal[-1] | None = Field(
        default=None, description="-1 cuts texts that are too long; null refuses them."
    )
    add_special_tokens: Literal[True] | None = None
    use_activation: bool | None = Field(
        default=None,
        validation_alias=AliasChoices("use_activation", "activation"),
        description="False gives logits. `activation` is its older name.",
    )
    request_id: str | None = Field(default=None, max_length=200)
    priority: int | None = None
    user: str | None = None


class VllmClass(WireResponse):
    index: int
    label: str
    probs: list[float] = Field(description="In the order of the task's labels.")
    num_classes: int
    scores: list[Score]


class VllmUsage(WireResponse):
    prompt_tokens: int
    total_tokens: int
    completion_tokens: int = 0
    prompt_tokens_details: None = None


class VllmClassifyResponse(WireResponse):
    id: str
    object: Literal["list"] = "list"
    created: int
    model: str
    data: list[VllmClass]
    usage: VllmUsage


EncodingFormat = Literal["float", "base64"]


class EmbeddingsRequest(DialectRequest):
    """OpenAI's request, and `truncate`."""

    model: Model = None
    input: TextsOrIds = Field(description=_TEXTS)
    encoding_format: EncodingFormat | None = Field(default=None, description="Null means float.")
    dimensions: _Dimensions = None
    user: str | None = None
    truncate: bool | None = Field(
        default=None,
        description="True cuts texts that are too long; otherwise they are refused.",
    )


class Embedding(WireResponse):
    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str = Field(description="Numbers, or base64 of little-endian float32.")


class EmbeddingsUsage(WireResponse):
    prompt_tokens: int
    total_tokens: int


class EmbeddingsTotal(WireResponse):
    model: str = Field(description="The version that answered, `tenant/task@version`.")
    usage: EmbeddingsUsage


class EmbeddingsResponse(EmbeddingsTotal):
    object: Literal["list"] = "list"
    data: list[Embedding] = Field(description="In the order of the texts.")


class ModelCard(WireResponse):
    id: str = Field(description="What to write in `model`.")
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    root: str = Field(description="The version it stands for now.")
    parent: str = Field(description="The backbone.")
    task_type: TaskType = Field(description="What it answers, and so the route to send it to.")


class ModelList(WireResponse):
    object: Literal["list"] = "list"
    data: list[ModelCard]


class ServerInfo(WireResponse):
    """text-embeddings-inference's description of a server; its model is the default one here."""

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
