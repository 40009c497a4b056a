"""BackboneFingerprint: the identity of a frozen backbone, and how two of them differ."""

from typing import Annotated, Self

from pydantic import Field

from prefixes.values import Value

_SHA256 = r"^[0-9a-f]{64}$"

Size = Annotated[int, Field(gt=0, le=10_000_000)]


class BackboneFingerprint(Value):
    """The facts about a frozen backbone that a prefix depends on.

    `name` is for people and is never compared. `max_positions` counts the positions usable for
    text tokens, without those that an architecture reserves (RoBERTa's padding).
    `num_heads` counts the heads of keys and values, each of which several query heads may share.
    `has_pooler` says whether the backbone's file contains the pooler that a `pooler` head reads.
    `embedding_size` is the width of the input embeddings if it differs from `hidden_size`.
    """

    name: str = Field(max_length=200)
    model_type: str = Field(max_length=60)
    hidden_size: Size
    num_layers: int = Field(gt=0, le=1000)
    num_heads: Size
    head_size: Size
    embedding_size: Size | None = None
    max_positions: Size
    vocab_size: Size
    has_pooler: bool = True
    weights_sha256: str = Field(pattern=_SHA256)
    tokenizer_sha256: str = Field(pattern=_SHA256)

    @property
    def label(self) -> str:
        """The name and the beginning of the digest, for messages."""
        return f"{self.name} (weights {self.weights_sha256[:12]})"

    def differences(self, other: Self) -> tuple[str, ...]:
        """Describe each fact in which `other` differs; empty if prefixes for this one fit it."""
        return tuple(
            f"{field}: trained on {mine}, this backbone has {theirs}"
            for field, mine in self
            if field != "name" and mine != (theirs := getattr(other, field))
        )
