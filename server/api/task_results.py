"""Wire models of the results of each task type, and of the responses that contain them.

Members that the pipelines of transformers return as well have the same names and shapes.
"""

from typing import Any, Generic, Literal, TypeVar

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer
from typing_extensions import TypedDict

from prefixes.answers import Reason
from server.api.explanation_schemas import Explanation
from server.api.schemas import Score, WireResponse

Result = TypeVar("Result")


class InputUsage(WireResponse):
    tokens: int = Field(
        description="Number of tokens of this input and its explanation, special tokens and "
        "overlaps of windows included."
    )
    truncated: bool = Field(description="Whether its end was cut to fit the task.")
    windows: int | None = Field(
        default=None,
        description="Number of windows of this input. Absent if long texts are truncated.",
    )


class _TaskResult(WireResponse):
    """The result of one input."""

    index: int = Field(description="Index of the input in the request.")
    model: str = Field(description="The version that was used, as `tenant/task@version`.")
    usage: InputUsage


class RejectionEntry(TypedDict):
    """The score of a text under the rejection rule, and the cutoff below which it is rejected."""

    score: float
    cutoff: float


class ClassifyResult(_TaskResult):
    """Has one of `label`, `labels` and `value`, by the problem type."""

    task_type: Literal["sequence_classification"] = "sequence_classification"
    problem_type: str
    label: str | None = Field(default=None, description="The best label, for single-label tasks.")
    labels: list[str] | None = Field(
        default=None,
        description="The labels whose probability reaches their threshold, for multi-label tasks.",
    )
    value: float | None = Field(
        default=None, description="The value, for regression with one output."
    )
    abstained: bool | None = Field(
        default=None,
        description="Whether `label` is null because of a rule. Only for single-label tasks with "
        "rules.",
    )
    reason: Reason | None = Field(
        default=None,
        description="Why `label` is null. out_of_scope: the rejection rule of the task rejects the "
        "text. below_threshold: no label reaches its threshold. "
        "min_score: the score of the best label is lower than the minimum.",
    )
    level: int | None = Field(
        default=None,
        description="Level of the answer in the hierarchy of the labels.",
    )
    path: list[str] | None = Field(
        default=None, description="The names from the top of the hierarchy to `label`."
    )
    rejection: RejectionEntry | None = Field(
        default=None, description="Only for tasks with a rejection rule that is in use."
    )
    scores: list[Score] = Field(description="Sorted by score, the highest first.")
    explanation: Explanation | None = Field(
        default=None, description="Which parts of the input the answer depends on, if requested."
    )


class AbstainedResult(ClassifyResult):
    """A result without an answer. Its `label` is null; other members that are null are omitted."""

    @model_serializer(mode="wrap")
    def _with_label(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped = dump(self)
        return {
            name: dumped.get(name)
            for name in ClassifyResult.model_fields
            if name in dumped or name == "label"
        }


class EntityGroup(TypedDict):
    """Adjacent words of one type. `word` is the characters `start` to `end` of the text."""

    entity_group: str
    score: float
    word: str
    start: int
    end: int


class EntityToken(TypedDict):
    """A token with its tag. `index` is its number in the text, special tokens included."""

    entity: str
    score: float
    index: int
    word: str
    start: int
    end: int


class TokenClassificationResult(_TaskResult):
    task_type: Literal["token_classification"] = "token_classification"
    entities: list[EntityGroup | EntityToken] = Field(
        description="In the order of the text. Tokens with the strategy none, otherwise groups."
    )


class AnswerEntry(TypedDict):
    """An answer. `answer` is the characters `start` to `end` of the context, or is empty."""

    score: float
    start: int
    end: int
    answer: str


class QuestionAnsweringResult(_TaskResult):
    task_type: Literal["question_answering"] = "question_answering"
    score: float = Field(description="Its probability among the 20 best answers.")
    start: int
    end: int
    answer: str = Field(
        description="Characters `start` to `end` of the context. Empty if there is no answer."
    )
    answers: list[AnswerEntry] | None = Field(
        default=None, description="The `top_k` best answers, if `top_k` is set."
    )


class MultipleChoiceResult(_TaskResult):
    task_type: Literal["multiple_choice"] = "multiple_choice"
    choice: int = Field(description="Index of the best choice in `choices`, from 0.")
    text: str = Field(description="The text of the best choice.")
    scores: list[float] = Field(description="Scores in the order of `choices`. Their sum is 1.")


class EmbeddingResult(_TaskResult):
    task_type: Literal["embedding"] = "embedding"
    embedding: list[float]


AnyResult = (
    ClassifyResult
    | TokenClassificationResult
    | QuestionAnsweringResult
    | MultipleChoiceResult
    | EmbeddingResult
)


class Usage(WireResponse):
    tokens: int


class TimingsMs(WireResponse):
    """Durations in milliseconds. For several inputs, those of the slowest."""

    total: float
    queue: float
    device: float


class Cost(WireResponse):
    usage: Usage
    timings_ms: TimingsMs


class TaskResponse(Cost, Generic[Result]):
    object: Literal["list"] = "list"
    results: list[Result] = Field(description="In the order of the request's inputs.")
