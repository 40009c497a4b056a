"""Wire models: what requests may say and what responses look like. Values only, no behaviour.

Requests are strict: a number is not a text, and an unknown field is an error, so that a typo is
answered instead of ignored. What is wrong with a list is told of its first wrong entry: pydantic
would note a million of them, at several hundred bytes each, before anybody counts.
"""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, JsonValue, Tag
from typing_extensions import TypedDict

from prefixes.values import Value, at_most

MAX_INPUTS: Final = 10_000
"""Most inputs that an operator may allow in one request. Longer lists are not even looked at."""

FunctionToApply = Literal["softmax", "sigmoid", "none"]


_MAX_FIELDS: Final = 50
"""Most fields of one input; a template cannot ask for more."""


class _Request(Value):
    model_config = ConfigDict(strict=True)


class _Response(BaseModel):
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


_Text = Annotated[str, Tag("(text)")]
_Fields = Annotated[dict[str, str], at_most(_MAX_FIELDS), Tag("(fields)")]

Item = Annotated[
    _Text | _Fields,
    Discriminator(
        _kind,
        custom_error_type="bad_input",
        custom_error_message="expected a text, or an object of texts such as "
        '{"text": "...", "text_pair": "..."}',
    ),
]
"""One thing to classify: a text, or the fields of the task, with its own `model` if need be."""

ClassifyInputs = Annotated[
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


class ClassifyRequest(_Request):
    """Texts to classify, each by the prefix it names or by that of the request."""

    model: Model = None
    input: ClassifyInputs = Field(
        description="A text; an object with the task's fields (`text`, `text_pair`, or whatever "
        "the task declares) and optionally its own `model`; or a list of these, of any tasks."
    )
    top_k: int | None = Field(
        default=None, ge=1, description="How many scores to give, the best first; null: all."
    )
    function_to_apply: FunctionToApply | None = Field(
        default=None,
        description="How logits become scores; null: softmax for single-label tasks, sigmoid for "
        "multi-label ones, none for regression.",
    )
    truncate: bool = Field(
        default=True, description="Cut texts that are too long; false refuses them."
    )


class Score(TypedDict):
    """A plain mapping, for answers may hold tens of thousands: a model each would take longer
    to make than the forward pass.
    """

    label: str
    score: float


class InputUsage(_Response):
    tokens: int = Field(description="Tokens of this input, special tokens included.")
    truncated: bool = Field(description="Whether its end was cut off to fit the task.")


class ClassifyResult(_Response):
    """The answer to one input. Of `label`, `labels` and `value` one is there, by problem type."""

    index: int = Field(description="Place of the input in the request.")
    model: str = Field(description="The version that answered, `tenant/task@version`.")
    problem_type: str
    label: str | None = Field(default=None, description="Single-label: the best label.")
    labels: list[str] | None = Field(
        default=None, description="Multi-label: the labels whose probability reaches its threshold."
    )
    value: float | None = Field(default=None, description="Regression with one output: the value.")
    scores: list[Score] = Field(description="Sorted by score, the highest first.")
    usage: InputUsage


class Usage(_Response):
    tokens: int


class TimingsMs(_Response):
    """Where the time went, in milliseconds; for several inputs, those of the slowest."""

    total: float
    queue: float
    device: float


class ClassifyResponse(_Response):
    object: Literal["list"] = "list"
    results: list[ClassifyResult] = Field(description="In the order of the request's inputs.")
    usage: Usage
    timings_ms: TimingsMs


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


class PredictRequest(_Request):
    """text-embeddings-inference's request, and `model`."""

    inputs: TeiInputs = Field(
        description='`"text"`; `["text", "pair"]` is ONE pair; `[["a"], ["b"], ["text", "pair"]]` '
        "is a batch."
    )
    model: Model = None
    raw_scores: bool = Field(default=False, description="Give logits instead of probabilities.")
    truncate: bool | None = Field(default=None, description="Null means true.")
    truncation_direction: Literal["right", "Right"] = "right"


class VllmClassifyRequest(_Request):
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


class VllmClass(_Response):
    index: int
    label: str
    probs: list[float] = Field(description="In the order of the task's labels.")
    num_classes: int
    scores: list[Score]


class VllmUsage(_Response):
    prompt_tokens: int
    total_tokens: int
    completion_tokens: int = 0
    prompt_tokens_details: None = None


class VllmClassifyResponse(_Response):
    id: str
    object: Literal["list"] = "list"
    created: int
    model: str
    data: list[VllmClass]
    usage: VllmUsage


class ModelCard(_Response):
    id: str = Field(description="What to write in `model`.")
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    root: str = Field(description="The version it stands for now.")
    parent: str = Field(description="The backbone.")


class ModelList(_Response):
    object: Literal["list"] = "list"
    data: list[ModelCard]


class AliasMove(_Response):
    kind: str
    from_version: int | None
    to_version: int
    moved_at: datetime
    moved_by: str
    is_undone: bool


class Alias(_Response):
    name: str
    version: int
    history: list[AliasMove] = Field(description="Its moves, the oldest first.")


class Version(_Response):
    ref: str = Field(description="`tenant/task@version`, as `model` takes it.")
    tenant: str
    task: str
    version: int
    digest: str = Field(description="sha256 of the file.")
    size_bytes: int
    created_at: datetime
    created_by: str


class VersionDetail(Version):
    spec: dict[str, JsonValue] = Field(
        description="The description in the file: labels, backbone, golden examples, metrics."
    )
    metrics: dict[str, float]


class PublishedVersion(Version):
    is_new: bool = Field(description="False when the task already had these very bytes.")


class PrefixSummary(_Response):
    tenant: str
    task: str
    versions: list[int]
    aliases: dict[str, int]


class PrefixList(_Response):
    prefixes: list[PrefixSummary]


class PrefixEntry(_Response):
    tenant: str
    task: str
    versions: list[Version]
    aliases: list[Alias]


class PromoteRequest(_Request):
    version: int = Field(ge=1, lt=10**9)


class AliasTarget(_Response):
    ref: str
    version: int
    digest: str


class ProblemBody(_Response):
    """RFC 9457. Routes of other dialects add that dialect's own `error` members."""

    type: str
    title: str
    status: int
    detail: str = Field(description="What is wrong, what was expected, what to do.")
    code: str = Field(description="Stable and machine-readable.")
    errors: list[dict[str, str]] | None = None
    findings: list[dict[str, str]] | None = None
    retry_after: int | None = None
