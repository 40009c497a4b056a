"""Wire models of feedback, of its settings, and of the list of answers to review."""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field

from prefixes.spec import MAX_LABELS
from prefixes.values import at_most
from server.api.schemas import Score, StrictRequest, WireResponse

MAX_ENTITIES = 10_000
_Offset = Annotated[int, Field(ge=0, lt=2**31)]
_Label = Annotated[str, Field(max_length=1000)]


class SpanAnswer(StrictRequest):
    start: _Offset
    end: _Offset


class EntitySpan(SpanAnswer):
    label: _Label


class FeedbackRequest(StrictRequest):
    request_id: str = Field(
        min_length=1,
        max_length=64,
        description="The header `X-Request-Id` of the response that contained the answer.",
    )
    index: int = Field(default=0, ge=0, lt=2**31, description="Index of the input in the request.")
    label: _Label | None = Field(default=None, description="Of a task with one label per text.")
    labels: Annotated[list[_Label], at_most(MAX_LABELS)] | None = Field(
        default=None, description="Of a task with several labels per text; may be empty."
    )
    value: float | None = Field(
        default=None, allow_inf_nan=False, description="Of a regression, the right number."
    )
    entities: Annotated[list[EntitySpan], at_most(MAX_ENTITIES)] | None = Field(
        default=None,
        description="Of a token classification, all entities of the text; may be empty.",
    )
    answer: SpanAnswer | None = Field(
        default=None,
        description="Of a question, a part of the context. Equal ends mean that there is no "
        "answer.",
    )
    choice: _Offset | None = Field(
        default=None, description="Of a multiple choice, the index of the right choice."
    )
    is_review: bool = Field(
        default=False,
        description="Whether a reviewer gives the answer. The input is then no longer listed for "
        "review.",
    )

    def answers(self) -> dict[str, Any]:
        """Return the members that hold answers."""
        others = {"request_id", "index", "is_review"}
        return self.model_dump(exclude=others, exclude_none=True)


class FeedbackResult(WireResponse):
    request_id: str
    index: int
    model: str = Field(description="The version that gave the answer.")
    is_contradicted: bool = Field(description="Whether the version gave another answer.")


class FeedbackRuleRequest(StrictRequest):
    is_enabled: bool = Field(description="Whether answers are recorded from now on.")
    retention_days: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Time in days after which a recorded answer and its feedback are removed. "
        "Default: 30, or the operator's maximum if that is less.",
    )
    sample_percent: float = Field(
        default=100.0,
        gt=0,
        le=100,
        description="Share of the requests that are recorded.",
    )


class FeedbackRuleState(WireResponse):
    is_enabled: bool
    retention_days: float
    sample_percent: float
    is_encrypted: bool = Field(description="Whether the operator has set a key for stored texts.")
    num_answers: int
    num_with_feedback: int
    stored_bytes: int


class DeletedAnswers(WireResponse):
    num_answers: int = Field(description="Number of recorded answers that were deleted.")


class ReviewItem(WireResponse):
    request_id: str
    index: int
    model: str = Field(description="The version that gave the answer.")
    answered_at: AwareDatetime
    reason: Literal["contradicted", "disagreement", "low_margin"]
    other_model: str | None = Field(
        description="A version that gave another answer in the shadow; null if none did."
    )
    input: dict[str, str | list[str]] = Field(description="The texts of the input.")
    answer: dict[str, Any] = Field(description="The recorded answer, as feedback on it is sent.")
    scores: list[Score] = Field(description="The best labels with their scores.")
    margin: float | None = Field(
        description="Distance of the answer to the next best one, from 0 to 1."
    )
    feedback: dict[str, Any] | None = Field(description="The right answer, if someone sent one.")


class ReviewList(WireResponse):
    items: list[ReviewItem]
    num_duplicates: int = Field(description="Inputs left out because they resemble a listed one.")
    num_unreadable: int = Field(description="Inputs left out because their key is missing.")
    next: str | None = Field(description="Path of the next page.")
