"""Wire models of the routes for each type of task: what they are asked, and how they answer.

The parts of an answer that transformers' pipelines give as well have their names and shapes.
"""

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import Field
from typing_extensions import TypedDict

from prefixes.answers import Strategy
from server.api.schemas import FunctionToApply, Inputs, Model, Score, StrictRequest, WireResponse

Result = TypeVar("Result")

_TopLabels = Annotated[
    int | None, Field(ge=1, description="How many scores to give, the best first; null: all.")
]
_TopAnswers = Annotated[
    int | None, Field(ge=1, description="How many answers to list in `answers`; null: no list.")
]
_Function = Annotated[
    FunctionToApply | None,
    Field(
        description="How logits become scores; null: softmax for single-label tasks, sigmoid for "
        "multi-label ones, none for regression."
    ),
]
_Aggregation = Annotated[
    Strategy,
    Field(
        description="How tokens become entities. none: every token by itself, with its tag; "
        "simple: neighbours of one type; first, average, max: neighbouring words, each with the "
        "tag of its first token, of its mean scores, or of its surest token."
    ),
]
_AnswerLength = Annotated[
    int | None,
    Field(ge=1, le=10_000, description="Most tokens of an answer; null: the task's own bound."),
]
_MayHaveNone = Annotated[
    bool | None,
    Field(
        description="Whether an empty answer may say that the context has none; null: as the "
        "task was trained."
    ),
]


class TaskRequest(StrictRequest):
    """Inputs, each for the prefix it names or for that of the request."""

    model: Model = None
    input: Inputs = Field(
        description="A text; an object with the task's fields and optionally its own `model`; or "
        "a list of these, of any tasks that the route answers."
    )
    truncate: bool = Field(
        default=True, description="Cut texts that are too long; false refuses them."
    )


class ClassifyRequest(TaskRequest):
    top_k: _TopLabels = None
    function_to_apply: _Function = None


class TokenClassificationRequest(TaskRequest):
    aggregation_strategy: _Aggregation = "first"


class QuestionAnsweringRequest(TaskRequest):
    top_k: _TopAnswers = None
    max_answer_len: _AnswerLength = None
    handle_impossible_answer: _MayHaveNone = None


class MultipleChoiceRequest(TaskRequest):
    pass


class AnyTaskRequest(TaskRequest):
    """Inputs of tasks of any type; each option is for those types that know it."""

    top_k: Annotated[
        int | None,
        Field(ge=1, description="How many scores of a classification, and answers, to give."),
    ] = None
    function_to_apply: _Function = None
    aggregation_strategy: _Aggregation = "first"
    max_answer_len: _AnswerLength = None
    handle_impossible_answer: _MayHaveNone = None


class InputUsage(WireResponse):
    tokens: int = Field(description="Tokens that were run for this input, special tokens included.")
    truncated: bool = Field(description="Whether its end was cut off to fit the task.")


class _TaskResult(WireResponse):
    """The answer to one input."""

    index: int = Field(description="Place of the input in the request.")
    model: str = Field(description="The version that answered, `tenant/task@version`.")
    usage: InputUsage


class ClassifyResult(_TaskResult):
    """Of `label`, `labels` and `value` one is there, by problem type."""

    task_type: Literal["sequence_classification"] = "sequence_classification"
    problem_type: str
    label: str | None = Field(default=None, description="Single-label: the best label.")
    labels: list[str] | None = Field(
        default=None, description="Multi-label: the labels whose probability reaches its threshold."
    )
    value: float | None = Field(default=None, description="Regression with one output: the value.")
    scores: list[Score] = Field(description="Sorted by score, the highest first.")


class EntityGroup(TypedDict):
    """Words of one type beside each other; `word` is characters `start` to `end` of the text."""

    entity_group: str
    score: float
    word: str
    start: int
    end: int


class EntityToken(TypedDict):
    """A token with its tag; `index` is its number in the text, special tokens included."""

    entity: str
    score: float
    index: int
    word: str
    start: int
    end: int


class TokenClassificationResult(_TaskResult):
    task_type: Literal["token_classification"] = "token_classification"
    entities: list[EntityGroup | EntityToken] = Field(
        description="In the order of the text; tokens only with the strategy none."
    )


class AnswerEntry(TypedDict):
    """An answer; `answer` is characters `start` to `end` of the context, none is empty."""

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
        description="Characters `start` to `end` of the context; empty: there is none."
    )
    answers: list[AnswerEntry] | None = Field(
        default=None, description="The `top_k` best, if that was asked for."
    )


class MultipleChoiceResult(_TaskResult):
    task_type: Literal["multiple_choice"] = "multiple_choice"
    choice: int = Field(description="Place of the best choice in `choices`, from 0.")
    text: str = Field(description="The best choice itself.")
    scores: list[float] = Field(description="In the order of `choices`; they sum to 1.")


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
    """Where the time went, in milliseconds; for several inputs, those of the slowest."""

    total: float
    queue: float
    device: float


class Cost(WireResponse):
    usage: Usage
    timings_ms: TimingsMs


class TaskResponse(Cost, Generic[Result]):
    object: Literal["list"] = "list"
    results: list[Result] = Field(description="In the order of the request's inputs.")
