"""DataSettings: the task of a training, its rows, and how rows become texts and labels."""

from typing import Annotated, Literal

from pydantic import Field

from prefixes.encoded import Merge
from prefixes.spec import (
    MAX_LABELS,
    MAX_TOKENS,
    MAX_WINDOWS_OF_TASK,
    Label,
    LongText,
    ProblemType,
    SpecialTokens,
    TaskType,
)
from prefixes.values import Value
from training.sources import SourceField

LearningMethod = Literal["prefix", "vectors", "prompt", "head", "few_shot", "full"]
"""The part that is trained: one of the methods of a prefix file, or the whole model (`full`).
`few_shot` computes a head without training, from the names of the labels and a few rows."""

LabelDescription = Annotated[str, Field(min_length=1, max_length=1000)]

Fraction = Annotated[float, Field(ge=0, lt=1)]


class DataSettings(Value):
    """The task and its rows. The usual columns are `text`, or `text_a` and `text_b`."""

    task: str = Field(description="TENANT/TASK: the name to publish under.")
    variant: str = Field(default="", description="Distinguishes the runs of a grid.")
    dataset: str | None = Field(
        default=None,
        description="A published dataset, for example superglue/rte. It defines rows, texts and "
        "labels.",
    )
    task_type: TaskType = "sequence_classification"
    method: LearningMethod = Field(
        default="vectors",
        description="Trained parameters. vectors: scales and shifts of the norms in every layer. "
        "prefix: keys and values in every layer; the default if prefix_length or another setting "
        "of prefixes is set. prompt: embeddings at the input. head: "
        "only the head. few_shot: a head that is computed from the names of the labels and a few "
        "rows. full: the whole model.",
    )

    train: SourceField | None = Field(
        default=None,
        description="Labeled rows: a file, a folder, or hub:PATH:CONFIG:SPLIT. With the method "
        "few_shot, none are needed.",
    )
    validation: SourceField | None = Field(
        default=None, description="Validation rows. By default they are split off `train`."
    )
    test: SourceField | None = Field(
        default=None, description="Test rows, measured once at the end."
    )
    feedback: SourceField | None = Field(
        default=None,
        description="Labeled rows that correct `train`: they replace rows with the same words. "
        "Columns have their usual names.",
    )
    unlabeled: SourceField | None = Field(
        default=None,
        description="Rows without labels. The prefix learns the answers of `teacher` to them.",
    )
    validation_fraction: Fraction = Field(
        default=0.1, gt=0, description="Share of `train` that is split off for validation."
    )
    max_rows: int | None = Field(
        default=None, ge=2, description="Train on a sample of at most this many rows."
    )
    max_validation_rows: int | None = Field(
        default=None, ge=1, description="Validate on a sample of at most this many rows."
    )
    max_test_rows: int | None = Field(
        default=None, ge=1, description="Test on a sample of at most this many rows."
    )
    text_column: str | None = Field(default=None, description="Column of the text.")
    pair_column: str | None = Field(default=None, description="Column of the second text.")
    label_column: str | None = Field(
        default=None, description="Column of the label, tags, entities or answers."
    )
    label_separator: str = Field(
        default="|", min_length=1, description="Separates several labels in one cell."
    )
    label_columns: tuple[str, ...] | None = Field(
        default=None,
        description="Columns of zeros and ones, one column for each of several labels.",
    )
    labels: tuple[Label, ...] | None = Field(
        default=None,
        max_length=MAX_LABELS,
        description="All labels in order. By default they are inferred from the training rows.",
    )
    label_descriptions: dict[Label, LabelDescription] | None = Field(
        default=None,
        max_length=MAX_LABELS,
        description="Descriptions of labels, by label. The method few_shot reads them instead "
        "of the labels' names.",
    )
    problem_type: ProblemType | None = Field(
        default=None,
        description="Variant of sequence classification: single_label_classification by default.",
    )
    template: str | None = Field(
        default=None, description="Builds the text from columns, for example 'query: {text}'."
    )
    pair_template: str | None = Field(
        default=None, description="Builds the second text from columns."
    )
    special_tokens: SpecialTokens = Field(
        default="text",
        description="How a special token in a text, such as [SEP], is read: as ordinary text, or "
        "as control.",
    )
    long_texts: LongText = Field(
        default="truncate",
        description="How the prefix reads texts that are too long: only their beginning "
        "(truncate), or all of them, in overlapping windows (windows). Training rows are truncated "
        "either way.",
    )
    stride: int | None = Field(
        default=None,
        ge=0,
        le=MAX_TOKENS,
        description="Number of tokens by which consecutive windows of a context or of a long text "
        "overlap.",
    )
    merge: Merge | None = Field(
        default=None,
        description="How the classifications of windows become one: their mean (default), their "
        "maximum, or the first.",
    )
    max_windows: int | None = Field(
        default=None,
        ge=1,
        le=MAX_WINDOWS_OF_TASK,
        description="Maximum number of windows of a text: 32 by default. The rest is truncated.",
    )
    max_answer_tokens: int | None = Field(
        default=None, ge=1, le=MAX_TOKENS, description="Maximum number of tokens of an answer."
    )
    null_threshold: float | None = Field(
        default=None,
        allow_inf_nan=False,
        description="Answer with nothing if the score of no answer exceeds the best answer's by "
        "more than this.",
    )
    snap_to_words: bool = Field(
        default=False, description="Extend entities to whole words of the backbone's tokenizer."
    )
    description: str = Field(
        default="", max_length=2000, description="Text for people, stored in the prefix file."
    )
