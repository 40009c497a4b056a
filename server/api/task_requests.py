"""Wire models of the requests of each task type."""

from typing import Annotated

from pydantic import Field

from prefixes.answers import Strategy
from prefixes.lengths import LengthOptions
from prefixes.spec import MAX_LEVELS, AnswerRules, LongTextOption, MergeOption, StrideOption
from server.api.explanation_schemas import ExplanationOptions
from server.api.schemas import FunctionToApply, Inputs, Model, StrictRequest

_TopLabels = Annotated[
    int | None,
    Field(ge=1, description="Number of scores to return, the highest first. Null returns all."),
]
_TopAnswers = Annotated[
    int | None,
    Field(ge=1, description="Number of answers to list in `answers`. Null returns no list."),
]
TopOption = Annotated[
    int | None,
    Field(ge=1, description="Number of scores of a classification, or of answers, to return."),
]
FunctionOption = Annotated[
    FunctionToApply | None,
    Field(
        description="Function that turns logits into scores. Null selects softmax for single-label "
        "tasks, sigmoid for multi-label tasks, and none for regression."
    ),
]
AggregationOption = Annotated[
    Strategy,
    Field(
        description="How tokens are joined to entities. none: each token separately, with its tag. "
        "simple: adjacent tokens of one type. first, average, max: adjacent words, each with the "
        "tag of its first token, of its mean scores, or of its highest score."
    ),
]
AnswerLengthOption = Annotated[
    int | None,
    Field(
        ge=1,
        le=10_000,
        description="Maximum number of tokens of an answer. Null selects the limit of the task.",
    ),
]
MayHaveNoneOption = Annotated[
    bool | None,
    Field(
        description="Whether an empty answer is allowed, for contexts without an answer. Null "
        "selects what the task was trained for."
    ),
]
LevelOption = Annotated[
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
    function_to_apply: FunctionOption = None
    level: LevelOption = None


class TokenClassificationRequest(LongTextRequest):
    aggregation_strategy: AggregationOption = "first"


class QuestionAnsweringRequest(TaskRequest):
    top_k: _TopAnswers = None
    max_answer_len: AnswerLengthOption = None
    handle_impossible_answer: MayHaveNoneOption = None


class MultipleChoiceRequest(TaskRequest):
    pass


class AnyTaskRequest(ExplanationOptions, MergedTextRequest, AnswerRules):
    """Inputs of tasks of any type. Each option applies to the types that have it."""

    top_k: TopOption = None
    function_to_apply: FunctionOption = None
    aggregation_strategy: AggregationOption = "first"
    max_answer_len: AnswerLengthOption = None
    handle_impossible_answer: MayHaveNoneOption = None
    level: LevelOption = None
