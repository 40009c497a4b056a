"""PrefixSpec: the description of a prefix, as it stands in the metadata of its file."""

import json
import string
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final, Literal, Self

from pydantic import FailFast, Field, JsonValue, field_validator, model_validator

from prefixes.errors import InputRejected
from prefixes.fingerprint import BackboneFingerprint
from prefixes.values import Value, at_most

SCHEMA_VERSION: Final = 1
MAX_LABELS = 10_000
MAX_PREFIX_LENGTH = 1024
MAX_PLACEHOLDERS = 20
MAX_METRICS = 100
MAX_GOLDEN = 64

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]
"""How logits are read, with the names of transformers' `config.problem_type`."""

Pooling = Literal["first_token", "mean", "pooler"]
"""What the head sees of a text: its first token, the mean of its tokens, or the backbone's own
frozen pooler (BERT: tanh of a dense layer over the first token)."""

Activation = Literal["tanh", "gelu", "relu"]

Finite = Annotated[float, Field(allow_inf_nan=False)]
Logit = Annotated[float, Field(ge=-1e30, le=1e30)]
Label = Annotated[str, Field(min_length=1, max_length=200)]
Threshold = Annotated[float, Field(ge=0, le=1)]
Fields = Mapping[str, str] | tuple[str, ...]
"""What a request gives a task: texts by field name, or bare texts in the order of the fields."""


def template_fields(template: str) -> tuple[str, ...]:
    """List the field names of a template such as `"{premise} because"`.

    Raises:
        ValueError: for anything but plain `{name}` placeholders; attribute access, indexes and
            format codes would let a template reach into the program.
    """
    fields = []
    for _, field, spec, conversion in string.Formatter().parse(template):
        if field is None:
            continue
        if not field.isidentifier() or spec or conversion:
            raise ValueError(f"{field!r} is not a plain placeholder such as {{text}}")
        fields.append(field)
    return tuple(fields)


class InputTemplate(Value):
    """How the fields of a request become the one or two texts that the tokenizer joins."""

    text: str = Field(default="{text}", max_length=2000)
    text_pair: str | None = Field(default=None, max_length=2000)

    @field_validator("text", "text_pair")
    @classmethod
    def _has_plain_placeholders(cls, template: str | None) -> str | None:
        if template is None:
            return None
        num_placeholders = len(template_fields(template))
        if num_placeholders == 0:
            raise ValueError("a template needs at least one placeholder such as {text}")
        if num_placeholders > MAX_PLACEHOLDERS:
            # Each one copies its field: without a bound, a short template makes a huge text.
            raise ValueError(
                f"a template may have at most {MAX_PLACEHOLDERS} placeholders, "
                f"this one has {num_placeholders}"
            )
        return template

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of all fields that a request must give, in order of first use."""
        names = template_fields(self.text) + template_fields(self.text_pair or "")
        return tuple(dict.fromkeys(names))

    def render(self, values: Fields) -> tuple[str, str | None]:
        """Fill the templates with a request's fields.

        Raises:
            InputRejected: when a field is missing, unknown, has nothing but white space, or is
                not valid Unicode.
        """
        named = self._named(values)
        for name, value in named.items():
            _check_value(name, value)
        pair = None if self.text_pair is None else self.text_pair.format_map(named)
        return self.text.format_map(named), pair

    def _named(self, values: Fields) -> Mapping[str, str]:
        expected = ", ".join(self.fields)
        if isinstance(values, tuple):
            if len(values) != len(self.fields):
                found = f"{len(values)} without names"
                raise InputRejected(f"The task takes the fields: {expected}; found: {found}")
            return dict(zip(self.fields, values, strict=True))
        if set(values) != set(self.fields):
            found = ", ".join(map(repr, sorted(values))) or "none"
            raise InputRejected(f"The task takes the fields: {expected}; found: {found[:200]}")
        return values


def _check_value(name: str, value: str) -> None:
    if not value.strip():
        raise InputRejected(f"The field {name!r} is empty: expected text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputRejected(
            f"The field {name!r} is not valid Unicode: expected whole characters, found half of a "
            f"surrogate pair at character {error.start}"
        ) from None


class HeadSpec(Value):
    """What turns a text's hidden states into logits: pooling, an optional dense layer with its
    activation, and the output layer. `activation` is set exactly when the file has a dense layer.
    """

    pooling: Pooling
    activation: Activation | None = None


class GoldenExample(Value):
    """An input with the logits that the trainer saw; replayed wherever the prefix is installed."""

    fields: Annotated[dict[str, str], at_most(2 * MAX_PLACEHOLDERS)] = Field(min_length=1)
    logits: Annotated[tuple[Logit, ...], FailFast(), at_most(MAX_LABELS)]


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
    AdapterHub. `max_length` bounds the tokens of a text, special tokens included.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    task_type: Literal["sequence_classification"] = "sequence_classification"
    problem_type: ProblemType
    labels: Annotated[tuple[Label, ...], at_most(MAX_LABELS)] = Field(min_length=1)
    prefix_length: int = Field(ge=1, le=MAX_PREFIX_LENGTH)
    position_offset: int = Field(ge=0, le=MAX_PREFIX_LENGTH)
    max_length: int = Field(ge=3)
    head: HeadSpec
    input: InputTemplate = InputTemplate()
    thresholds: Annotated[tuple[Threshold, ...] | None, at_most(MAX_LABELS)] = None
    backbone: BackboneFingerprint
    description: str = Field(default="", max_length=2000)
    provenance: Provenance | None = None
    metrics: Annotated[dict[str, Finite], at_most(MAX_METRICS)] = Field(default_factory=dict)
    golden: Annotated[tuple[GoldenExample, ...], at_most(MAX_GOLDEN)] = ()

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        problems = [*self._label_problems(), *self._golden_problems()]
        room = self.backbone.max_positions - self.position_offset
        if self.max_length > room:
            problems.append(
                f"max_length {self.max_length} does not fit: the backbone has "
                f"{self.backbone.max_positions} positions, {self.position_offset} of them taken "
                f"by position_offset, which leaves {room}"
            )
        if self.head.pooling == "pooler" and not self.backbone.has_pooler:
            problems.append(
                "pooling is pooler, but the backbone has none: pool its first token, and put the "
                "pooler's layer into the head as its dense layer"
            )
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

    def _golden_problems(self) -> list[str]:
        problems = []
        for number, example in enumerate(self.golden):
            if len(example.logits) != len(self.labels):
                problems.append(
                    f"golden example {number} has {len(example.logits)} logits for "
                    f"{len(self.labels)} labels"
                )
            try:
                self.input.render(example.fields)
            except InputRejected as error:
                problems.append(f"golden example {number}: {error}")
        return problems

    @property
    def num_labels(self) -> int:
        return len(self.labels)
