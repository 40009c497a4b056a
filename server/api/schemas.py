"""Wire models that several routes share: requests and responses. Values only, no behavior.

Requests are strict: a number is not a text, and an unknown field is an error, so that typos are
reported. Routes of other dialects have their own models. Only the first invalid entry of a list is
reported: pydantic would otherwise collect up to a million errors of several hundred bytes each.
"""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, JsonValue, Tag
from typing_extensions import TypedDict

from prefixes.names import MAX_VERSION
from prefixes.spec import TaskType
from prefixes.template import MAX_CHOICES
from prefixes.values import Value, at_most

MAX_INPUTS: Final = 10_000
"""Upper bound of the setting for the inputs of one request. Longer lists are not parsed."""

FunctionToApply = Literal["softmax", "sigmoid", "none"]


_MAX_FIELDS: Final = 50
"""Maximum number of fields of one input. No template has more."""


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
FieldsOfText = Annotated[dict[str, _FieldValue], at_most(_MAX_FIELDS), Tag("(fields)")]

Item = Annotated[
    _Text | FieldsOfText,
    Discriminator(
        _kind,
        custom_error_type="bad_input",
        custom_error_message="expected a text, or an object of texts such as "
        '{"text": "...", "text_pair": "..."}',
    ),
]
"""One input: a text, or an object with the fields of the task and optionally its own `model`."""

Inputs = Annotated[
    _Text
    | FieldsOfText
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
        "`tenant/task@version`. With an API key, the tenant may be omitted."
    ),
]


class BackboneSummary(WireResponse):
    name: str
    weights_sha256: str = Field(description="Digest of the weights. Prefix files contain it.")


class ServerSummary(WireResponse):
    name: str = "polyprefix"
    version: str
    backbone: str = Field(description="Name of the default backbone.")
    backbones: list[BackboneSummary] = Field(
        description="All backbones, the default first. A prefix must fit one of them."
    )
    console: str = "/console"
    docs: str = "/docs"
    openapi: str = "/openapi.json"
    models: str = "/v1/models"
    ready: str = "/readyz"
    metrics: str = "/metrics"


class Liveness(WireResponse):
    status: Literal["alive"] = "alive"


class Score(TypedDict):
    """A plain mapping: a response may have tens of thousands of scores, and a pydantic model for
    each would take longer to build than the forward pass.
    """

    label: str
    score: float


class AliasMove(WireResponse):
    kind: str
    from_version: int | None
    to_version: int
    moved_at: datetime
    moved_by: str
    is_undone: bool
    percent: float | None = Field(description="Share of the callers that a canary got.")
    reason: str | None = Field(description="Why the server ended a canary.")


class AliasCanary(WireResponse):
    version: int
    percent: float


class Alias(WireResponse):
    name: str
    version: int
    canary: AliasCanary | None = Field(description="Shown to the owner and to operators.")
    history: list[AliasMove] = Field(
        description="Moves of the alias, the oldest first. The owner and operators also see "
        "changes of its canary."
    )


class Version(WireResponse):
    ref: str = Field(description="`tenant/task@version`, a valid `model`.")
    tenant: str
    task: str
    version: int
    digest: str = Field(description="SHA-256 of the file.")
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
    is_new: bool = Field(
        description="False when the task already had a version with the same bytes."
    )


class CheckedFile(WireResponse):
    digest: str
    size_bytes: int
    task_type: TaskType
    num_examples: int = Field(description="Number of golden examples that were replayed.")
    warnings: list[dict[str, str]] = Field(
        description="Allowed things that are probably mistakes, in the form of findings."
    )


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
    version: int = Field(ge=1, le=MAX_VERSION)


class AliasTarget(WireResponse):
    ref: str
    version: int
    digest: str


class ProblemBody(BaseModel):
    """An error as in RFC 9457. Routes of other dialects add the `error` members of that dialect."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str = Field(description="The error, what was expected, and what to do next.")
    code: str = Field(description="Stable and machine-readable.")
    errors: list[dict[str, str]] | None = None
    findings: list[dict[str, str]] | None = None
    limit: str | None = Field(default=None, description="Name of the limit that is exceeded.")
    retry_after: int | None = None
