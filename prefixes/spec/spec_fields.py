"""SpecFields: the fields of a description of a prefix, and values derived from them."""

from typing import Annotated, Final, Literal

from pydantic import Field

from prefixes.fingerprint import BackboneFingerprint
from prefixes.spec.decisions import Decisions
from prefixes.spec.parts import (
    MAX_LABELS,
    MAX_RANK,
    AnswerSpec,
    Finite,
    GoldenExample,
    HeadSpec,
    Label,
    Method,
    ProblemType,
    Provenance,
    SpecialTokens,
    Threshold,
)
from prefixes.spec.rejection import Rejection
from prefixes.spec.task_types import TaskType, traits_of
from prefixes.template import InputTemplate, template_fields
from prefixes.values import Value, at_most

SCHEMA_VERSION: Final = 1
MAX_PREFIX_LENGTH: Final = 1024
MAX_METRICS: Final = 100
MAX_GOLDEN: Final = 64


class SpecFields(Value):
    """The fields of a description, without the rules between them.

    `position_offset` is added to every text position: P for P-tuning v2 and PEFT on BERT, 0 for
    AdapterHub. A prompt occupies positions itself, so its offset is 0; a head alone has neither
    length nor offset. `max_length` limits the tokens of a text, special tokens included.
    `problem_type` belongs to sequence classification, `labels` to sequence and token
    classification, `answers` to question answering. If `token_types` is false, all tokens have
    type 0 and the types of the tokenizer are ignored, as in PEFT's question answering. Files
    without `special_tokens` were trained with "control". `rank` is that of the update that vectors
    add to the outputs of the norms; 0 without an update.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    task_type: TaskType = "sequence_classification"
    method: Method = "prefix"
    problem_type: ProblemType | None = None
    labels: Annotated[tuple[Label, ...], at_most(MAX_LABELS)] = ()
    prefix_length: int = Field(ge=0, le=MAX_PREFIX_LENGTH)
    position_offset: int = Field(ge=0, le=MAX_PREFIX_LENGTH)
    max_length: int = Field(ge=3)
    head: HeadSpec
    input: InputTemplate = InputTemplate()
    token_types: bool = True
    special_tokens: SpecialTokens = "control"
    thresholds: Annotated[tuple[Threshold, ...] | None, at_most(MAX_LABELS)] = None
    answers: AnswerSpec | None = None
    backbone: BackboneFingerprint
    description: str = Field(default="", max_length=2000)
    provenance: Provenance | None = None
    metrics: Annotated[dict[str, Finite], at_most(MAX_METRICS)] = Field(default_factory=dict)
    golden: Annotated[tuple[GoldenExample, ...], at_most(MAX_GOLDEN)] = ()
    decisions: Decisions | None = None
    rank: int = Field(default=0, ge=0, le=MAX_RANK)

    @property
    def label_thresholds(self) -> tuple[float, ...] | None:
        """The probability that each label must reach; None if the file has none."""
        if self.problem_type == "multi_label_classification" or self.decisions is None:
            return self.thresholds
        return self.decisions.thresholds

    @property
    def rejection(self) -> Rejection | None:
        """The rule for texts that belong to no label; None if the file has none."""
        return None if self.decisions is None else self.decisions.rejection

    @property
    def has_labels_of_texts(self) -> bool:
        """Whether the answers of the task are labels of a text, so that rules apply to them."""
        return self.problem_type in {"single_label_classification", "multi_label_classification"}

    @property
    def num_labels(self) -> int:
        return len(self.labels)

    @property
    def num_outputs(self) -> int | None:
        """Count the outputs per text or token; None without an output layer."""
        outputs = traits_of(self.task_type).outputs
        return self.num_labels if outputs == "labels" else outputs

    @property
    def num_slots(self) -> int:
        """Count the slots of the pool that the prefix takes; a prompt or head takes none."""
        match self.method:
            case "prefix":
                return self.prefix_length
            case "vectors":  # the scales of a layer fill as many values as keys of one token
                backbone = self.backbone
                width = backbone.num_heads * backbone.head_size
                return 2 * (1 + self.rank) * (backbone.hidden_size // width)
            case _:
                return 0

    @property
    def sliced_field(self) -> str | None:
        """Name the field whose characters the answers point to; None if answers are not spans."""
        spans_of = traits_of(self.task_type).spans_of
        return None if spans_of is None else template_fields(getattr(self.input, spans_of) or "")[0]
