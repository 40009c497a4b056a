"""Wire models of Hugging Face's hosted inference."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from prefixes.answers import Strategy
from prefixes.values import at_most
from server.api.dialects.requests import DialectRequest, Dimensions
from server.api.schemas import MAX_INPUTS, FieldsOfText, FunctionToApply

_Truncate = Annotated[
    bool | None, Field(description="Cut texts that are too long. Null means true.")
]
_Direction = Annotated[
    Literal["right", "Right"] | None,
    Field(description="Texts are cut only at their end. Null means right."),
]
_Prompt = Annotated[
    None, Field(description="Not supported: a prompt is part of the task's template.")
]


class HubParameters(DialectRequest):
    """The options of Hugging Face's pipelines. Each applies to the task types that have it."""

    top_k: int | None = Field(
        default=None, ge=1, description="Number of the best labels or answers to return."
    )
    function_to_apply: FunctionToApply | None = None
    aggregation_strategy: Strategy | None = None
    ignore_labels: Annotated[list[str] | None, at_most(MAX_INPUTS)] = Field(
        default=None, description="Entity types to omit."
    )
    max_answer_len: int | None = Field(default=None, ge=1, le=10_000)
    handle_impossible_answer: bool | None = None


class HubOptions(DialectRequest):
    """The options next to `inputs`. Each applies to the task types that have it."""

    parameters: HubParameters | None = None
    truncate: _Truncate = None
    truncation_direction: _Direction = None
    raw_scores: bool | None = Field(
        default=None, description="Return logits instead of probabilities."
    )
    normalize: bool | None = Field(
        default=None, description="True scales vectors to length 1. Otherwise they are as trained."
    )
    dimensions: Dimensions = None
    prompt_name: _Prompt = None


TextPair = Annotated[list[str], Field(min_length=1, max_length=2, fail_fast=True)]


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
    Annotated[str, Tag("(text)")] | FieldsOfText | Annotated[TextPair, Tag("(pair)")],
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
    """The request of Hugging Face's hosted inference. Its URL names the task."""

    inputs: HubInputs = Field(
        description="A text, an object with the fields of the task, or a list of these. Embedding "
        "tasks also accept `source_sentence` and `sentences`, and compare them."
    )
