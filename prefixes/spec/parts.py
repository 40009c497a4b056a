"""The parts of a prefix's description: its head, its answers, golden examples and provenance."""

import json
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import FailFast, Field, JsonValue, field_validator

from prefixes.template import MAX_CHOICES, MAX_PLACEHOLDERS
from prefixes.values import Value, at_most

MAX_LABELS: Final = 10_000
MAX_TOKENS: Final = 100_000
MAX_RANK: Final = 64  # kMaxRank in prefixes/backbone/native/modulation.h

Method = Literal["prefix", "vectors", "prompt", "head"]
"""How a task steers the backbone:

- "prefix": keys and values in every layer (P-tuning v2, `--prefix`);
- "vectors": a scale and a shift of the outputs of each layer's two norms, for every hidden unit
  (as tuning the weights of LayerNorm: Qi et al. 2022, arXiv 2211.08682), and with a rank, a
  low-rank update of these outputs (as DiReFT: Wu et al. 2024, arXiv 2404.03592);
- "prompt": embeddings in front of the input (`--prompt`; prompt tuning, Lester et al.);
- "head": not at all, with a trained head on the frozen backbone (linear probing).
"""

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]
"""How logits are interpreted; the names are those of transformers' `config.problem_type`."""

Pooling = Literal["first_token", "mean", "pooler", "every_token"]
"""The input of the head: a text's first token, the mean of its tokens, the output of the backbone's
own frozen pooler (BERT: tanh of a dense layer over the first token), or each token separately."""

SpecialTokens = Literal["control", "text"]
"""Whether a special token that occurs in a text, such as `[SEP]`, keeps its special meaning or is
tokenized as ordinary text. The special tokens that the tokenizer adds are not affected."""

Activation = Literal["tanh", "gelu", "relu"]

Finite = Annotated[float, Field(allow_inf_nan=False)]
Logit = Annotated[float, Field(ge=-1e30, le=1e30)]
Label = Annotated[str, Field(min_length=1, max_length=200)]
Threshold = Annotated[float, Field(ge=0, le=1)]


class HeadSpec(Value):
    """How hidden states become outputs: pooling, an optional dense layer with its activation, and
    the output layer, which an embedding does not have.

    `activation` is set if and only if the file has a dense layer. With `pooled_from` "prompt", the
    first position of a shallow prompt stands for the first token, as in P-tuning v2's multiple
    choice. `normalize` scales an embedding to length 1.
    """

    pooling: Pooling
    activation: Activation | None = None
    pooled_from: Literal["text", "prompt"] = "text"
    normalize: bool = False


class AnswerSpec(Value):
    """How answers are found in a context that may be longer than the backbone's maximum length.

    The context is cut into windows that overlap by `stride` tokens. `null_threshold` is set if
    questions may have no answer: no answer is returned if the score of "no answer" exceeds the
    best answer's score by more than the threshold (the rule of SQuAD 2.0).
    """

    stride: int = Field(default=128, ge=0, le=MAX_TOKENS)
    max_answer_tokens: int = Field(default=30, ge=1, le=MAX_TOKENS)
    null_threshold: Finite | None = None


class GoldenExample(Value):
    """An input with the outputs that the trainer computed; replayed where the prefix is installed.

    `logits` holds all outputs of the input in one row: those of every choice, those of every token
    of every window, or an embedding.
    """

    fields: Annotated[
        dict[str, str | Annotated[tuple[str, ...], at_most(MAX_CHOICES)]],
        at_most(2 * MAX_PLACEHOLDERS),
    ] = Field(min_length=1)
    logits: Annotated[tuple[Logit, ...], FailFast(), at_most(MAX_LABELS)] = Field(min_length=1)


class Provenance(Value):
    """Where a prefix came from. It serves people and audits; inference does not read it."""

    created_at: datetime
    tool: str = Field(max_length=200)
    data_sha256: str | None = Field(default=None, max_length=64)
    train_rows: int | None = Field(default=None, ge=0)
    recipe: dict[str, JsonValue] = Field(default_factory=dict)

    @field_validator("recipe")
    @classmethod
    def _is_json(cls, recipe: dict[str, JsonValue]) -> dict[str, JsonValue]:
        json.dumps(recipe, allow_nan=False)  # JSON has no NaN and infinity: they cannot be served
        return recipe
