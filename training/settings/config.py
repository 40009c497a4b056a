"""TrainConfig: one prefix to train, its data, its shape and its recipe."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from prefixes import PrefixError, PrefixRef
from prefixes.spec import (
    MAX_GOLDEN,
    MAX_LABELS,
    MAX_PREFIX_LENGTH,
    MAX_TOKENS,
    Activation,
    Label,
    Method,
    Pooling,
    ProblemType,
    SpecialTokens,
    TaskType,
)
from prefixes.values import Value
from training.datasets import dataset_named
from training.errors import PlanRejected
from training.examples import Columns
from training.settings.consistency import problems_of
from training.settings.defaults import DEFAULTS, METHOD_DEFAULTS, METRICS, MetricName
from training.settings.former_names import with_current_names
from training.sources import SourceField

ScheduleName = Literal["linear", "cosine", "constant", "exponential", "exponential_per_epoch"]

LearningMethod = Literal["prefix", "prompt", "head", "full"]
"""What is learned: what a prefix file holds, by its methods, or the whole model beside which it is
measured."""

Initialization = Literal["activations", "noise"]
"""What a prefix begins as: keys and values of real training tokens, or N(0, initializer_range) as
in P-tuning v2."""

GoldenInputs = Literal["validation", "made_up"]
"""Where the inputs of golden examples come from."""

Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class TrainConfig(Value):
    """One prefix to train: its data, its shape and its recipe.

    The defaults are the recipe that `bench.accuracy` measures for sequence classification.
    Columns that are not named are looked for: `text`, or `text_a` and `text_b`.
    """

    task: str = Field(description="TENANT/TASK, the name to publish under")
    variant: str = Field(default="", description="tells the runs of a grid apart")
    dataset: str | None = Field(
        default=None, description="a published set, as superglue/rte: its rows, texts and labels"
    )
    task_type: TaskType = "sequence_classification"
    method: LearningMethod = Field(
        default="prefix",
        description="prefix: keys and values; prompt: embeddings at the input; head: neither; "
        "full: a model of its own, all of it fine-tuned",
    )

    train: SourceField = Field(description="labeled rows: a file, folder or hub:PATH:CONFIG:SPLIT")
    validation: SourceField | None = Field(
        default=None, description="split off `train` when not given"
    )
    test: SourceField | None = Field(default=None, description="measured once, at the end")
    validation_fraction: Fraction = Field(default=0.1, gt=0)
    max_rows: int | None = Field(default=None, ge=2, description="train on a sample this large")
    max_validation_rows: int | None = Field(default=None, ge=1, description="validate on a sample")
    max_test_rows: int | None = Field(default=None, ge=1, description="test on a sample")
    text_column: str | None = None
    pair_column: str | None = None
    label_column: str | None = Field(default=None, description="label, tags, entities or answers")
    label_separator: str = Field(default="|", min_length=1, description="several labels in a cell")
    label_columns: tuple[str, ...] | None = Field(
        default=None, description="several labels, each with a column of zeros and ones"
    )
    labels: tuple[Label, ...] | None = Field(
        default=None, max_length=MAX_LABELS, description="inferred when not given"
    )
    problem_type: ProblemType | None = Field(
        default=None, description="of sequence classification: single label when not given"
    )
    template: str | None = Field(default=None, description="how columns become a text")
    pair_template: str | None = Field(default=None, description="how they become its second part")
    special_tokens: SpecialTokens = Field(
        default="text",
        description="a special token in a text, as [SEP]: ordinary text, or control",
    )
    stride: int | None = Field(
        default=None,
        ge=0,
        le=MAX_TOKENS,
        description="tokens by which the windows of a context overlap",
    )
    max_answer_tokens: int | None = Field(
        default=None, ge=1, le=MAX_TOKENS, description="of an answer, at most"
    )
    null_threshold: float | None = Field(
        default=None,
        allow_inf_nan=False,
        description="by how much the score of no answer must exceed the best answer's",
    )
    snap_to_words: bool = Field(
        default=False, description="extend entities to whole words of the backbone's tokenizer"
    )
    description: str = Field(default="", max_length=2000)

    prefix_length: int = Field(default=16, ge=0, le=MAX_PREFIX_LENGTH)
    projection_size: int | None = Field(
        default=None, ge=1, description="width of the MLP reparametrisation; none without it"
    )
    initialization: Initialization | None = Field(
        default=None, description="activations, unless there is a projection: that needs noise"
    )
    start_from: str | None = Field(
        default=None,
        description="a prefix file, or STORE#TENANT/TASK[@VERSION|:ALIAS], or a server's URL so",
    )
    position_offset: int | None = Field(
        default=None,
        ge=0,
        le=MAX_PREFIX_LENGTH,
        description="positions that texts are shifted by; prefix length if none",
    )
    max_length: int | None = Field(default=None, ge=3, description="tokens of a text, at most")
    pooling: Pooling = "mean"
    normalize: bool | None = Field(
        default=None, description="embeddings of length 1, compared by their angle: the default"
    )
    head_activation: Activation | None = Field(
        default=None, description="puts a trained dense layer before the output layer"
    )

    class_weights: Literal["none", "balanced"] = Field(
        default="none", description="balanced: every label counts alike, however rare it is"
    )
    label_smoothing: Fraction = Field(
        default=0.0, description="share of certainty that is dealt out to all labels alike"
    )
    learning_rate: Positive = 2e-2
    head_learning_rate: Positive = 5e-3
    schedule: ScheduleName = "linear"
    warmup: Fraction = Field(default=0.06, description="share of all steps")
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    max_gradient_norm: Positive = 1.0
    prefix_dropout: Fraction = 0.0
    feature_dropout: Fraction = 0.1
    batch_size: int = Field(default=32, ge=1)
    gradient_accumulation: int = Field(
        default=1, ge=1, description="batches that make one step of the optimizer"
    )
    epochs: Positive = Field(default=4, le=1_000_000)
    min_steps: int = Field(
        default=400, ge=1, description="goes on after `epochs` where rows are few"
    )
    max_steps: int | None = Field(default=None, ge=1, description="ends before `epochs` are over")
    evaluate_every: int | None = Field(default=None, ge=1, description="steps; an epoch if none")
    patience: int | None = Field(
        default=None, ge=1, description="stop after this many evaluations without a new best"
    )
    averaging: Fraction = Field(
        default=0.0,
        description="decay of a moving average of the weights, which is what is kept; none at 0",
    )
    select_by: MetricName | None = Field(default=None, description="metric that chooses the best")
    seed: int = Field(default=0, ge=0)

    file_dtype: Literal["float32", "float16"] = Field(
        default="float32", description="number type of the prefix file"
    )
    golden_examples: int = Field(
        default=8,
        ge=0,
        le=MAX_GOLDEN,
        description="texts stored in the file, for replay wherever it is installed",
    )
    golden_inputs: GoldenInputs = Field(
        default="validation",
        description="validation: rows of the data, which anyone who may download the file can "
        "read; made_up: neutral sentences",
    )

    @field_validator("task")
    @classmethod
    def _names_a_task(cls, text: str) -> str:
        try:
            reference = PrefixRef.parse(text)
        except PrefixError as error:
            raise ValueError(str(error)) from error
        if "@" in text or ":" in text:
            raise ValueError(f"{text!r} names a version or alias: expected TENANT/TASK")
        return f"{reference.tenant}/{reference.task}"

    @model_validator(mode="before")
    @classmethod
    def _begins_with_defaults(cls, data: Any) -> Any:
        """Fill in what the dataset and the type of task begin with."""
        if not isinstance(data, dict):
            return data
        data = with_current_names(data)
        data = {**_of_dataset(data), **data}
        if data.get("label_columns"):
            data = {"problem_type": "multi_label_classification", **data}
        task_type = data.get("task_type", "sequence_classification")
        defaults = DEFAULTS.get(task_type, {}) if isinstance(task_type, str) else {}
        return {**defaults, **METHOD_DEFAULTS.get(str(data.get("method")), {}), **data}

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        problems = problems_of(self)
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def run_name(self) -> str:
        """Names the run and its folder: the task, and the variant where a grid made several."""
        return f"{self.task}/{self.variant}" if self.variant else self.task

    @property
    def metrics(self) -> tuple[MetricName, ...]:
        """The metrics that may choose the best step."""
        return METRICS[self.problem_type or self.task_type]

    @property
    def metric(self) -> MetricName:
        """The metric that chooses: of balanced labels one in which all count alike."""
        usual = "macro_f1" if self.class_weights == "balanced" else self.metrics[0]
        return self.select_by or usual

    @property
    def file_method(self) -> Method:
        """The method of a prefix file that describes it; of a whole model, that of a head."""
        return "head" if self.method == "full" else self.method

    @property
    def begins_as_activations(self) -> bool:
        has_table = self.method in {"prefix", "prompt"} and self.projection_size is None
        return has_table and self.start_from is None and self.initialization != "noise"

    @property
    def offset(self) -> int:
        if self.method != "prefix":
            return 0  # a prompt takes positions of its own, a head none
        return self.prefix_length if self.position_offset is None else self.position_offset

    @property
    def columns(self) -> Columns:
        return Columns(
            self.text_column,
            self.pair_column,
            self.label_column,
            self.label_separator,
            self.label_columns or (),
        )


def _of_dataset(data: Mapping[str, Any]) -> dict[str, Any]:
    """Give what a set of a known name begins with; its rows are those of the hub by default."""
    name = data.get("dataset")
    if not isinstance(name, str):
        return {}
    try:
        dataset = dataset_named(name)
        if "train" in data:
            return dataset.defaults
        sources = dataset.hub_sources()
    except PlanRejected as error:
        raise ValueError(str(error)) from error
    return {**dataset.defaults, "train": sources["train"], "validation": sources["validation"]}
