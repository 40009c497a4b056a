"""PrefixSpec: the description of a prefix, as it stands in the metadata of its file."""

import json
from datetime import datetime
from typing import Annotated, Final, Literal, Self

from pydantic import FailFast, Field, JsonValue, field_validator, model_validator

from prefixes.consistency import problems_of
from prefixes.fingerprint import BackboneFingerprint
from prefixes.template import MAX_CHOICES, MAX_PLACEHOLDERS, InputTemplate, template_fields
from prefixes.values import Value, at_most

SCHEMA_VERSION: Final = 1
MAX_LABELS = 10_000
MAX_PREFIX_LENGTH = 1024
MAX_TOKENS = 100_000
MAX_METRICS = 100
MAX_GOLDEN = 64

TaskType = Literal[
    "sequence_classification",
    "multiple_choice",
    "token_classification",
    "question_answering",
    "embedding",
]
"""What a prefix is for: the four kinds of P-tuning v2 (question answering is extractive, and a
regression is a sequence classification), and text embedding."""

Method = Literal["prefix", "prompt", "head"]
"""How a task steers the backbone: keys and values in every layer (P-tuning v2, `--prefix`);
embeddings in front of the text at the input only (`--prompt`; Lester et al., prompt tuning); or not
at all, with a head on the frozen backbone (linear probing)."""

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]
"""How logits are read, with the names of transformers' `config.problem_type`."""

Pooling = Literal["first_token", "mean", "pooler", "every_token"]
"""What the head sees of a text: its first token, the mean of its tokens, the backbone's own frozen
pooler (BERT: tanh of a dense layer over the first token), or each of its tokens on its own."""

SpecialTokens = Literal["control", "text"]
"""How a special token in a text, as `[SEP]`, is read: with its special meaning, or as ordinary
text. Those that the tokenizer adds around a text are not meant."""

Activation = Literal["tanh", "gelu", "relu"]

Finite = Annotated[float, Field(allow_inf_nan=False)]
Logit = Annotated[float, Field(ge=-1e30, le=1e30)]
Label = Annotated[str, Field(min_length=1, max_length=200)]
Threshold = Annotated[float, Field(ge=0, le=1)]


class HeadSpec(Value):
    """What turns a text's hidden states into outputs: pooling, an optional dense layer with its
    activation, and the output layer, which an embedding does without. `activation` is set exactly
    when the file has a dense layer.

    `pooled_from` "prompt" takes the first position of a shallow prompt for the first token, as
    P-tuning v2 did in multiple choice. `normalize` brings an embedding to length 1.
    """

    pooling: Pooling
    activation: Activation | None = None
    pooled_from: Literal["text", "prompt"] = "text"
    normalize: bool = False


class AnswerSpec(Value):
    """How answers are looked for in a context that may be longer than the backbone's texts.

    The context is cut into windows that overlap by `stride` tokens. `null_threshold` is set when
    questions may have no answer: none is given when the score of none exceeds the best answer's
    by more than it (the rule of SQuAD 2.0).
    """

    stride: int = Field(default=128, ge=0, le=MAX_TOKENS)
    max_answer_tokens: int = Field(default=30, ge=1, le=MAX_TOKENS)
    null_threshold: Finite | None = None


class GoldenExample(Value):
    """An input with the outputs that the trainer saw; replayed wherever the prefix is installed.

    `logits` are all outputs of the input in one row: of every choice, of every token of every
    window, or an embedding.
    """

    fields: Annotated[
        dict[str, str | Annotated[tuple[str, ...], at_most(MAX_CHOICES)]],
        at_most(2 * MAX_PLACEHOLDERS),
    ] = Field(min_length=1)
    logits: Annotated[tuple[Logit, ...], FailFast(), at_most(MAX_LABELS)] = Field(min_length=1)


class Provenance(Value):
    """Where a prefix came from; for people and audits, never needed to serve it."""

    created_at: datetime
    tool: str = Field(max_length=200)
    data_sha256: str | None = Field(default=None, max_length=64)
    train_rows: int | None = Field(default=None, ge=0)
    recipe: dict[str, JsonValue] = Field(default_factory=dict)

    @field_validator("recipe")
    @classmethod
    def _is_json(cls, recipe: dict[str, JsonValue]) -> dict[str, JsonValue]:
        json.dumps(recipe, allow_nan=False)  # NaN and infinity are no JSON and could not be served
        return recipe


class PrefixSpec(Value):
    """All that a server must know about a prefix beside its tensors.

    `position_offset` is added to every text position: P for P-tuning v2 and PEFT on BERT, 0 for
    AdapterHub; a prompt takes positions of its own, and has 0; a head alone has neither length
    nor offset. `max_length` bounds the tokens of a text, special tokens included. `problem_type`
    belongs to sequence classification, `labels` to that and token classification, `answers` to
    question answering. Without `token_types` all tokens are of type 0, whatever the tokenizer says:
    PEFT runs question answering so. Files without `special_tokens` were trained with "control".
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

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        problems = problems_of(self)
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def num_labels(self) -> int:
        return len(self.labels)

    @property
    def num_outputs(self) -> int | None:
        """Count what the output layer gives for a text or token; None when there is none."""
        match self.task_type:
            case "multiple_choice":
                return 1
            case "question_answering":
                return 2  # scores to begin and to end an answer here
            case "embedding":
                return None
            case _:
                return len(self.labels)

    @property
    def num_slots(self) -> int:
        """Count the slots of keys and values that the prefix takes; a prompt or head takes none."""
        return self.prefix_length if self.method == "prefix" else 0

    @property
    def sliced_field(self) -> str | None:
        """Name the field whose characters the answers point into, if they point at all."""
        match self.task_type:
            case "token_classification":
                return template_fields(self.input.text)[0]
            case "question_answering":
                return template_fields(self.input.text_pair or "")[0]
            case _:
                return None
