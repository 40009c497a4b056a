"""Wire models: what requests may say and what responses look like. Values only, no behaviour.

Requests are strict: a number is not a text, and an unknown field is an error, so that a typo is
answered instead of ignored. What is wrong with a list is told of its first wrong entry: pydantic
would note a million of them, at several hundred bytes each, before anybody counts.
"""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, JsonValue, Tag
from typing_extensions import TypedDict

from prefixes.spec import TaskType
from prefixes.template import MAX_CHOICES
from prefixes.values import Value, at_most

MAX_INPUTS: Final = 10_000
"""Most inputs that an operator may allow in one request. Longer lists are not even looked at."""

FunctionToApply = Literal["softmax", "sigmoid", "none"]


_MAX_FIELDS: Final = 50
"""Most fields of one input; a template cannot ask for more."""


class StrictRequest(Value):
    model_config = ConfigDict(strict=True)


class WireResponse(BaseModel):
    model_config = ConfigDict(extra="forbid")


def _kind(value: Any) -> str | None:
    match value:
        case str():
            return "(text)"
        case dict():
            return "(fields)"
        case list():
            return "(list)"
        case _:
            return None


def _value_kind(value: Any) -> str | None:
    match value:
        case str():
            return "(text)"
        case list():
            return "(texts)"
        case _:
            return None


_FieldValue = Annotated[
    Annotated[str, Tag("(text)")]
    | Annotated[list[str], Field(fail_fast=True), at_most(MAX_CHOICES), Tag("(texts)")],
    Discriminator(
        _value_kind,
        custom_error_type="bad_field",
        custom_error_message="expected a text; only `choices` is a list of texts",
    ),
]
_Text = Annotated[str, Tag("(text)")]
_Fields = Annotated[dict[str, _FieldValue], at_most(_MAX_FIELDS), Tag("(fields)")]

Item = Annotated[
    _Text | _Fields,
    Discriminator(
        _kind,
        custom_error_type="bad_input",
        custom_error_message="expected a text, or an object of texts such as "
        '{"text": "...", "text_pair": "..."}',
    ),
]
"""One input: a text, or the fields of the task, with its own `model` if need be."""

Inputs = Annotated[
    _Text
    | _Fields
    | Annotated[list[Item], Field(fail_fast=True), at_most(MAX_INPUTS), Tag("(list)")],
    Discriminator(
        _kind,
        custom_error_type="bad_input",
        custom_error_message="expected a text, an object of texts, or a list of these",
    ),
]

Model = Annotated[
    str | None,
    Field(
        description="The prefix to use: `tenant/task` (its alias `live`), `tenant/task:alias` or "
        "`tenant/task@version`. With a key, the tenant may be left out."
    ),
]


class Score(TypedDict):
    """A plain mapping, for answers may hold tens of thousands: a model each would take longer
    to make than the forward pass.
    """

    label: str
    score: float


_Texts = Annotated[list[str], Field(min_length=1, max_length=2, fail_fast=True)]


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
    | Annotated[_Texts, Tag("(pair)")]
    | Annotated[list[_Texts], Field(fail_fast=True), at_most(MAX_INPUTS), Tag("(batch)")],
    Discriminator(
        _tei_kind,
        custom_error_type="bad_input",
        custom_error_message='expected "text", ["text"], ["text", "pair"], or a list of one- or '
        'two-element lists such as [["first"], ["second"]]',
    ),
]


class PredictRequest(StrictRequest):
    """text-embeddings-inference's request, and `model`."""

    inputs: TeiInputs = Field(
        description='`"text"`; `["text", "pair"]` is ONE pair; `[["a"], ["b"], ["text", "pair"]]` '
        "is a batch."
    )
    model: Model = None
    raw_scores: bool = Field(default=False, description="Give logits instead of probabilities.")
    truncate: bool | None = Field(default=None, description="Null means true.")
    truncation_direction: Literal["right", "Right"] = "right"


class VllmClassifyRequest(StrictRequest):
    """vLLM's request, as far as it says something about an encoder of texts."""

    model: Model = None
    input: str | Annotated[list[str], Field(fail_fast=True), at_most(MAX_INPUTS)] = Field(
        description="A text or a list of texts."
    )
    user: str | None = None
    truncate_prompt_tokens: Literal[-1] | None = Field(
        default=None, description="-1 cuts texts that are too long; null refuses them."
    )
    add_special_tokens: Literal[True] = True
    use_activation: bool | None = Field(default=None, description="False gives logits.")
    request_id: str | None = Field(default=None, max_length=200)
    priority: int = 0


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


class EmbeddingsRequest(StrictRequest):
    """OpenAI's request, and `truncate`. Only texts: tokens would be those of another tokenizer."""

    model: Model = None
    input: str | Annotated[list[str], Field(fail_fast=True), at_most(MAX_INPUTS)] = Field(
        description="A text or a list of texts."
    )
    encoding_format: EncodingFormat = "float"
    dimensions: None = Field(
        default=None, description="Not supported: part of an embedding would be no embedding."
    )
    user: str | None = None
    truncate: bool = Field(
        default=False, description="Cut texts that are too long instead of refusing them."
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


class AliasMove(WireResponse):
    kind: str
    from_version: int | None
    to_version: int
    moved_at: datetime
    moved_by: str
    is_undone: bool


class Alias(WireResponse):
    name: str
    version: int
    history: list[AliasMove] = Field(description="Its moves, the oldest first.")


class Version(WireResponse):
    ref: str = Field(description="`tenant/task@version`, as `model` takes it.")
    tenant: str
    task: str
    version: int
    digest: str = Field(description="sha256 of the file.")
    size_bytes: int
    created_at: datetime
    created_by: str


class VersionDetail(Version):
    task_type: TaskType
    spec: dict[str, JsonValue] = Field(
        description="The description in the file: labels, backbone, golden examples, metrics."
    )
    metrics: dict[str, float]


class PublishedVersion(Version):
    is_new: bool = Field(description="False when the task already had these very bytes.")


class PrefixSummary(WireResponse):
    tenant: str
    task: str
    versions: list[int]
    aliases: dict[str, int]


class PrefixList(WireResponse):
    prefixes: list[PrefixSummary]


class PrefixEntry(WireResponse):
    tenant: str
    task: str
    versions: list[Version]
    aliases: list[Alias]


class PromoteRequest(StrictRequest):
    version: int = Field(ge=1, lt=10**9)


class AliasTarget(WireResponse):
    ref: str
    version: int
    digest: str


class ProblemBody(WireResponse):
    """RFC 9457. Routes of other dialects add that dialect's own `error` members."""

    type: str
    title: str
    status: int
    detail: str = Field(description="What is wrong, what was expected, what to do.")
    code: str = Field(description="Stable and machine-readable.")
    errors: list[dict[str, str]] | None = None
    findings: list[dict[str, str]] | None = None
    retry_after: int | None = None
