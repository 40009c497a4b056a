"""PrefixSpec: the description of a prefix, as it stands in the metadata of its file."""

import json
from datetime import datetime
from typing import Annotated, Final, Literal, Self

from pydantic import FailFast, Field, JsonValue, field_validator, model_validator

from prefixes.errors import InputRejected
from prefixes.fingerprint import BackboneFingerprint
from prefixes.template import MAX_CHOICES, MAX_PLACEHOLDERS, InputTemplate, template_fields
from prefixes.values import Value, at_most

SCHEMA_VERSION: Final = 1
MAX_LABELS = 10_000
MAX_PREFIX_LENGTH = 1024
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

Method = Literal["prefix", "prompt"]
"""How a task steers the backbone: keys and values in every layer (P-tuning v2, `--prefix`), or
embeddings in front of the text at the input only (`--prompt`; Lester et al., prompt tuning)."""

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]
"""How logits are read, with the names of transformers' `config.problem_type`."""

Pooling = Literal["first_token", "mean", "pooler", "every_token"]
"""What the head sees of a text: its first token, the mean of its tokens, the backbone's own frozen
pooler (BERT: tanh of a dense layer over the first token), or each of its tokens on its own."""

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

    stride: int = Field(default=128, ge=0)
    max_answer_tokens: int = Field(default=30, ge=1)
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
    AdapterHub; a prompt takes positions of its own, and has 0. `max_length` bounds the tokens of a
    text, special tokens included. `problem_type` belongs to sequence classification, `labels` to
    that and token classification, `answers` to question answering.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    task_type: TaskType = "sequence_classification"
    method: Method = "prefix"
    problem_type: ProblemType | None = None
    labels: Annotated[tuple[Label, ...], at_most(MAX_LABELS)] = ()
    prefix_length: int = Field(ge=1, le=MAX_PREFIX_LENGTH)
    position_offset: int = Field(ge=0, le=MAX_PREFIX_LENGTH)
    max_length: int = Field(ge=3)
    head: HeadSpec
    input: InputTemplate = InputTemplate()
    thresholds: Annotated[tuple[Threshold, ...] | None, at_most(MAX_LABELS)] = None
    answers: AnswerSpec | None = None
    backbone: BackboneFingerprint
    description: str = Field(default="", max_length=2000)
    provenance: Provenance | None = None
    metrics: Annotated[dict[str, Finite], at_most(MAX_METRICS)] = Field(default_factory=dict)
    golden: Annotated[tuple[GoldenExample, ...], at_most(MAX_GOLDEN)] = ()

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        problems = [
            *task_problems(self),
            *self._label_problems(),
            *self._place_problems(),
            *self._golden_problems(),
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _label_problems(self) -> list[str]:
        problems = []
        if len(set(self.labels)) != len(self.labels):
            problems.append("labels must differ from each other")
        if self.problem_type == "single_label_classification" and len(self.labels) < 2:
            problems.append("single_label_classification needs at least two labels")
        if self.thresholds is not None and self.problem_type != "multi_label_classification":
            problems.append("thresholds belong to multi_label_classification only")
        if self.thresholds is not None and len(self.thresholds) != len(self.labels):
            problems.append(f"{len(self.thresholds)} thresholds for {len(self.labels)} labels")
        return problems

    def _place_problems(self) -> list[str]:
        problems = []
        taken, by = (
            (self.position_offset, "position_offset")
            if self.method == "prefix"
            else (self.prefix_length, "the prompt")
        )
        room = self.backbone.max_positions - taken
        if self.max_length > room:
            problems.append(
                f"max_length {self.max_length} does not fit: the backbone has "
                f"{self.backbone.max_positions} positions, {taken} of them taken "
                f"by {by}, which leaves {room}"
            )
        if self.method == "prompt" and self.position_offset != 0:
            problems.append("a prompt takes positions of its own: position_offset must be 0")
        if self.head.pooling == "pooler" and not self.backbone.has_pooler:
            problems.append(
                "pooling is pooler, but the backbone has none: pool its first token, and put the "
                "pooler's layer into the head as its dense layer"
            )
        if self.head.pooled_from == "prompt" and (
            self.method != "prompt" or self.head.pooling not in {"first_token", "pooler"}
        ):
            problems.append("pooled_from prompt needs a prompt, and pooling first_token or pooler")
        return problems

    def _golden_problems(self) -> list[str]:
        problems = []
        for number, example in enumerate(self.golden):
            try:
                num_texts = len(self.input.render(example.fields))
            except InputRejected as error:
                problems.append(f"golden example {number}: {error}")
                continue
            expected = num_texts * (self.num_outputs or self.backbone.hidden_size)
            is_per_token = self.head.pooling == "every_token"
            if len(example.logits) % expected or (
                not is_per_token and len(example.logits) != expected
            ):
                kind = f"a multiple of {expected}" if is_per_token else str(expected)
                problems.append(
                    f"golden example {number} has {len(example.logits)} logits, expected {kind}"
                )
        return problems

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
        """Count the slots of keys and values that the prefix takes; a prompt takes none."""
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


def task_problems(spec: PrefixSpec) -> list[str]:
    """Hold a description against what its task type needs and what it has no use for."""
    kind = spec.task_type
    is_sequence, is_tokens = kind == "sequence_classification", kind == "token_classification"
    is_answering, is_embedding = kind == "question_answering", kind == "embedding"
    template = spec.input
    rules = [
        (is_sequence == (spec.problem_type is not None), "problem_type: sequence classification"),
        ((is_sequence or is_tokens) == bool(spec.labels), "labels: classification"),
        (is_answering == (spec.answers is not None), "answers: question answering"),
        (is_embedding or not spec.head.normalize, "normalize: an embedding"),
        (
            (is_tokens or is_answering) == (spec.head.pooling == "every_token"),
            "pooling every_token: token classification and question answering",
        ),
        (
            (kind == "multiple_choice") == template.has_choices,
            "a template with {choice}: multiple choice",
        ),
    ]
    problems = [
        f"{rule} needs it and no other task may have it, this is {kind}"
        for holds, rule in rules
        if not holds
    ]
    if is_tokens and not _is_bare(template.text):
        problems.append("the text of token classification must be a field as it is, as {text}")
    if is_answering and not _is_bare(template.text_pair):
        problems.append(
            "the text_pair of question answering must be a field as it is, as {context}"
        )
    return problems


def _is_bare(template: str | None) -> bool:
    """Say whether a template is one placeholder and nothing else: offsets stay the user's."""
    if template is None:
        return False
    names = template_fields(template)
    return len(names) == 1 and template == f"{{{names[0]}}}"
