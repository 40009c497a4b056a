"""Wire models of Hugging Face's hosted inference."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from prefixes.answers import Strategy
from prefixes.values import at_most
from server.api.dialects.requests import DialectRequest, Dimensions
from server.api.schemas import MAX_INPUTS, FieldsOfText, FunctionToApply

_Truncate = Annotated[
    bool | None, Field(description="Cut texts that are too long; null means true.")
]
_Direction = Annotated[
    Literal["right", "Right"] | None,
    Field(description="Texts are cut at their end only; null means right."),
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
    """The request of Hugging Face's hosted inference; its URL names the task."""

    inputs: HubInputs = Field(
        description="A text, an object with the task's fields, or a list of these. For embeddings "
        "also `source_sentence` and `sentences`, to be compared."
    )
