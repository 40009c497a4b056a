"""Wire models of vLLM."""

from typing import Literal

from pydantic import AliasChoices, Field

from server.api.dialects.requests import TEXTS_OR_IDS, DialectRequest, TextsOrIds
from server.api.schemas import Model, Score, WireResponse


class VllmClassifyRequest(DialectRequest):
    """The request of vLLM, limited to the options that apply to a text encoder."""

    model: Model = None
    input: TextsOrIds = Field(description=TEXTS_OR_IDS)
    truncate_prompt_tokens: Literal[-1] | None = Field(
        default=None, description="-1 cuts texts that are too long. Null rejects them."
    )
    add_special_tokens: Literal[True] | None = None
    use_activation: bool | None = Field(
        default=None,
        validation_alias=AliasChoices("use_activation", "activation"),
        description="False returns logits. `activation` is the former name.",
    )
    request_id: str | None = Field(default=None, max_length=200)
    priority: int | None = None
    user: str | None = None


class VllmClass(WireResponse):
    index: int
    label: str | None = Field(description="Null if the task has no answer to the text.")
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
