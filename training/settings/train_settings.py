"""TrainSettings: the fields of a training's configuration, and values derived from them."""

import math
from typing import Annotated, Final, Literal

from pydantic import Field

from prefixes.spec import (
    MAX_GOLDEN,
    MAX_PREFIX_LENGTH,
    MAX_RANK,
    Activation,
    Decisions,
    LongTexts,
    Method,
    Pooling,
)
from training.examples import Columns
from training.settings.data_settings import DataSettings, Fraction
from training.settings.defaults import MetricName, metrics_of
from training.settings.hierarchy_setting import HierarchySetting

ScheduleName = Literal["linear", "cosine", "constant", "exponential", "exponential_per_epoch"]

Initialization = Literal["activations", "noise"]
"""Initial value of a prefix: keys and values of tokens of the training texts, or
N(0, initializer_range) as in P-tuning v2."""

GoldenInputs = Literal["validation", "made_up"]
"""Origin of the inputs of golden examples."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


PATH_FIELDS: Final = frozenset(
    {"train", "validation", "test", "feedback", "unlabeled", "start_from", "teacher"}
)
"""Settings that are paths. The bytes of the files count, not their names."""

RECIPE_FIELDS: Final = frozenset(
    {
        *("method", "prefix_length", "rank", "projection_size", "initialization", "start_from"),
        *("position_offset", "pooling", "head_activation", "class_weights", "label_smoothing"),
        *("learning_rate", "head_learning_rate", "schedule", "warmup", "weight_decay"),
        *("max_gradient_norm", "prefix_dropout", "hidden_dropout", "feature_dropout", "batch_size"),
        *("gradient_accumulation", "epochs", "min_steps", "evaluate_every", "patience"),
        *("averaging", "reject", "teacher", "unlabeled"),
    }
)
"""Settings that say how to learn from rows. If none is given, few rows get a few-shot head. The
maximum number of steps is not among them, because it is a limit. `reject` is, because a few-shot
head has no rejection rule."""

FULL_TEACHER: Final = "full"
"""The teacher that is fine-tuned before the prefix is trained."""


class TrainSettings(DataSettings):
    """One prefix to train: its data, its shape and its recipe. `TrainConfig` validates it.

    The defaults are the recipe that `bench.accuracy` measures for sequence classification.
    """

    prefix_length: int = Field(
        default=0,
        ge=0,
        le=MAX_PREFIX_LENGTH,
        description="Number of prefix slots: 16 by default for the methods prefix and prompt.",
    )
    rank: int = Field(
        default=0,
        ge=0,
        le=MAX_RANK,
        description="Rank of the update that vectors add to the outputs of the norms; 0 for none. "
        "For token_classification 8 by default.",
    )
    projection_size: int | None = Field(
        default=None,
        ge=1,
        description="Width of the MLP that produces the prefix (reparametrization). By default "
        "there is no MLP.",
    )
    initialization: Initialization | None = Field(
        default=None,
        description="Initial value of the prefix: activations by default, noise with a projection.",
    )
    start_from: str | None = Field(
        default=None,
        description="Initial prefix: a prefix file, or STORE#TENANT/TASK[@VERSION|:ALIAS], where "
        "STORE is a folder or the URL of a server.",
    )
    teacher: str | None = Field(
        default=None,
        description="A fine-tuned model whose answers the prefix learns in addition to the "
        "labels. full: fine-tune one on the same rows first. Or the folder of a model.",
    )
    teacher_weight: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.5, description="Share of the loss that compares with the answers of the teacher."
    )
    teacher_temperature: Positive = Field(
        default=2.0,
        le=100,
        description="Divisor of the logits of prefix and teacher before they are compared.",
    )
    teacher_learning_rate: Positive = Field(
        default=1.5e-4, description="Learning rate of a teacher that is fine-tuned first."
    )
    unlabeled_batch_size: int = Field(
        default=32, ge=1, description="Unlabeled rows per batch, in addition to `batch_size`."
    )
    position_offset: int | None = Field(
        default=None,
        ge=0,
        le=MAX_PREFIX_LENGTH,
        description="Number of positions that texts are shifted by: the prefix length by default.",
    )
    max_length: int | None = Field(
        default=None, ge=3, description="Maximum number of tokens of a text."
    )
    pooling: Pooling = "mean"
    normalize: bool | None = Field(
        default=None,
        description="Scale embeddings to length 1, so that they compare by angle: true by default.",
    )
    head_activation: Activation | None = Field(
        default=None,
        description="Adds a trained dense layer with this activation before the output layer.",
    )

    class_weights: Literal["none", "balanced"] = Field(
        default="none", description="balanced: all labels have the same weight, however rare."
    )
    label_smoothing: Fraction = Field(
        default=0.0,
        description="Share of the target that is spread over all labels equally. "
        "For token_classification with vectors 0.1 by default.",
    )
    learning_rate: Positive = Field(
        default=1e-2,
        description="Learning rate of the vectors, or of the prefix or prompt, for which the "
        "default is 0.02.",
    )
    head_learning_rate: Positive = Field(default=5e-3, description="Learning rate of the head.")
    schedule: ScheduleName = "linear"
    warmup: Fraction = Field(default=0.06, description="Share of all steps.")
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    max_gradient_norm: Positive = 1.0
    prefix_dropout: Fraction = 0.0
    hidden_dropout: Fraction = Field(
        default=0.0,
        description="Dropout of hidden units in the backbone, where its architecture has dropout. "
        "For token_classification with vectors 0.1 by default.",
    )
    feature_dropout: Fraction = Field(default=0.1, description="Dropout of the head's input.")
    batch_size: int = Field(default=32, ge=1)
    gradient_accumulation: int = Field(
        default=1, ge=1, description="Number of batches per optimizer step."
    )
    epochs: Positive = Field(default=4, le=1_000_000, description="Passes over the rows.")
    min_steps: int = Field(
        default=400, ge=1, description="Continue after `epochs` if rows are few."
    )
    max_steps: int | None = Field(
        default=None, ge=1, description="Stop before `epochs` are complete."
    )
    evaluate_every: int | None = Field(
        default=None, ge=1, description="Steps between evaluations: one epoch by default."
    )
    patience: int | None = Field(
        default=None, ge=1, description="Stop after this many evaluations without a new best."
    )
    averaging: Fraction = Field(
        default=0.0,
        description="Decay of a moving average of the weights; the average is what is kept. 0 "
        "disables it.",
    )
    select_by: MetricName | None = Field(
        default=None, description="Metric that selects the best step."
    )
    threshold: str | None = Field(
        default=None,
        max_length=40,
        description="Fit the threshold of each label on the validation rows: f1, or a minimum such "
        "as precision>=0.95 or recall>=0.9.",
    )
    hierarchy: HierarchySetting | None = Field(
        default=None,
        description="Tree over the labels. labels: split them at `/`. Or an object with the parent "
        "of each label.",
    )
    reject: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description="Abstain on texts outside of the labels, by a rule that keeps this share of "
        "the validation rows, such as 0.95.",
    )
    seed: int = Field(default=0, ge=0, description="Seed of all random numbers.")

    file_dtype: Literal["float32", "float16"] = Field(
        default="float32", description="Number type of the prefix file."
    )
    golden_examples: int = Field(
        default=8,
        ge=0,
        le=MAX_GOLDEN,
        description="Number of inputs stored in the file and replayed wherever it is installed.",
    )
    golden_inputs: GoldenInputs = Field(
        default="validation",
        description="Origin of these inputs. validation: rows of the data, which anyone who may "
        "download the file can read. made_up: neutral sentences.",
    )

    @property
    def run_name(self) -> str:
        """Name of the run and of its folder: the task, and the variant of a grid."""
        return f"{self.task}/{self.variant}" if self.variant else self.task

    @property
    def metrics(self) -> tuple[MetricName, ...]:
        """The metrics that can select the best step."""
        return metrics_of(self.task_type, self.problem_type)

    @property
    def metric(self) -> MetricName:
        """The metric that selects the best step. With balanced labels, all labels count alike."""
        usual = "macro_f1" if self.class_weights == "balanced" else self.metrics[0]
        return self.select_by or usual

    @property
    def file_method(self) -> Method:
        """The method of a prefix file with these settings. A whole model counts as a head."""
        match self.method:
            case "few_shot" | "full":
                return "head"
            case method:
                return method

    @property
    def type_name(self) -> str:
        """The problem type of sequence classification, or any other task type."""
        return self.problem_type or self.task_type

    @property
    def leaves_method_open(self) -> bool:
        """Whether no setting that was given says how to learn from the rows."""
        is_eligible = self.problem_type == "single_label_classification" and self.dataset is None
        return is_eligible and not self.model_fields_set & RECIPE_FIELDS

    @property
    def decisions(self) -> Decisions | None:
        """The rules of the prefix file that are set before the training; None without any."""
        if self.long_texts == "truncate":
            return None
        given = {"stride": self.stride, "merge": self.merge, "max_windows": self.max_windows}
        chosen = {name: value for name, value in given.items() if value is not None}
        return Decisions(long_texts=LongTexts.model_validate(chosen))

    @property
    def rows_per_step(self) -> int:
        """Number of labeled rows of an optimizer step."""
        return self.batch_size * self.gradient_accumulation

    @property
    def unlabeled_per_batch(self) -> int:
        return 0 if self.unlabeled is None else self.unlabeled_batch_size

    @property
    def unlabeled_per_step(self) -> int:
        """Number of unlabeled rows of an optimizer step."""
        return self.unlabeled_per_batch * self.gradient_accumulation

    def num_steps(self, num_rows: int) -> int:
        """Return the number of steps of a training on so many labeled rows."""
        steps = math.ceil(self.epochs * math.ceil(num_rows / self.rows_per_step))
        steps = max(steps, self.min_steps)
        return min(steps, self.max_steps or steps)

    @property
    def begins_as_activations(self) -> bool:
        has_table = self.method in {"prefix", "prompt"} and self.projection_size is None
        return has_table and self.start_from is None and self.initialization != "noise"

    @property
    def offset(self) -> int:
        if self.method != "prefix":
            return 0  # a prompt has positions of its own, and a head takes none
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
