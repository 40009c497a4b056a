"""Wire models of the routes of each task type: requests and results.

Members that the pipelines of transformers return as well have the same names and shapes.
"""

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer
from typing_extensions import TypedDict

from prefixes.answers import Reason, Strategy
from prefixes.lengths import LengthOptions
from prefixes.spec import MAX_LEVELS, AnswerRules
from server.api.explanation_schemas import Explanation, ExplanationOptions
from server.api.long_texts import LongTextOption, MergeOption, StrideOption
from server.api.schemas import FunctionToApply, Inputs, Model, Score, StrictRequest, WireResponse

Result = TypeVar("Result")

_TopLabels = Annotated[
    int | None,
    Field(ge=1, description="Number of scores to return, the highest first. Null returns all."),
]
_TopAnswers = Annotated[
    int | None,
    Field(ge=1, description="Number of answers to list in `answers`. Null returns no list."),
]
_Function = Annotated[
    FunctionToApply | None,
    Field(
        description="Function that turns logits into scores. Null selects softmax for single-label "
        "tasks, sigmoid for multi-label tasks, and none for regression."
    ),
]
_Aggregation = Annotated[
    Strategy,
    Field(
        description="How tokens are joined to entities. none: each token separately, with its tag. "
        "simple: adjacent tokens of one type. first, average, max: adjacent words, each with the "
        "tag of its first token, of its mean scores, or of its highest score."
    ),
]
_AnswerLength = Annotated[
    int | None,
    Field(
        ge=1,
        le=10_000,
        description="Maximum number of tokens of an answer. Null selects the limit of the task.",
    ),
]
_MayHaveNone = Annotated[
    bool | None,
    Field(
        description="Whether an empty answer is allowed, for contexts without an answer. Null "
        "selects what the task was trained for."
    ),
]


_Level = Annotated[
    int | None,
    Field(
        ge=1,
        le=MAX_LEVELS,
        description="Level of the labels to answer and to score, 1 for the top of the hierarchy. "
        "Null selects the labels themselves.",
    ),
]


class TaskRequest(StrictRequest):
    """Inputs of one request. Each uses its own model, or the model of the request."""

    model: Model = None
    input: Inputs = Field(
        description="A text, an object with the fields of the task and optionally its own `model`, "
        "or a list of these. A list may mix tasks that the route serves."
    )
    truncate: bool = Field(
        default=True, description="Cut texts that are too long. False rejects them."
    )

    @property
    def lengths(self) -> LengthOptions:
        """The handling of texts that are too long."""
        return LengthOptions(truncate=self.truncate)


class LongTextRequest(TaskRequest):
    """Inputs of tasks that can read long texts in windows."""

    long_text: LongTextOption = None
    stride: StrideOption = None

    @property
    def lengths(self) -> LengthOptions:
        return LengthOptions(self.truncate, self.long_text, self.stride)


class MergedTextRequest(LongTextRequest):
    """Inputs of tasks of which some classify texts, so that windows may differ."""

    merge: MergeOption = None

    @property
    def lengths(self) -> LengthOptions:
        return LengthOptions(self.truncate, self.long_text, self.stride, self.merge)


class ClassifyRequest(ExplanationOptions, MergedTextRequest, AnswerRules):
    top_k: _TopLabels = None
    function_to_apply: _Function = None
    level: _Level = None


class TokenClassificationRequest(LongTextRequest):
    aggregation_strategy: _Aggregation = "first"


class QuestionAnsweringRequest(TaskRequest):
    top_k: _TopAnswers = None
    max_answer_len: _AnswerLength = None
    handle_impossible_answer: _MayHaveNone = None


class MultipleChoiceRequest(TaskRequest):
    pass


class AnyTaskRequest(ExplanationOptions, MergedTextRequest, AnswerRules):
    """Inputs of tasks of any type. Each option applies to the types that have it."""

    top_k: Annotated[
        int | None,
        Field(ge=1, description="Number of scores of a classification, or of answers, to return."),
    ] = None
    function_to_apply: _Function = None
    aggregation_strategy: _Aggregation = "first"
    max_answer_len: _AnswerLength = None
    handle_impossible_answer: _MayHaveNone = None
    level: _Level = None


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
