"""Dropout of hidden units in a frozen encoder, while a prefix trains.

Every row draws its own units, from its own seed. So a row loses the same units whichever rows share
its batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from prefixes.backbone.grouping import Ints


@dataclass(frozen=True, slots=True)
class RowDropout:
    """The share of the hidden units that a row loses, and the seed that decides which."""

    probability: float
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class BatchDropout:
    """The dropout of rows with `bounds` `[rows + 1]`, of which some may have none."""

    rows: Sequence[RowDropout | None]
    bounds: Ints

    @classmethod
    def of(cls, rows: Sequence[RowDropout | None], bounds: Ints) -> Self | None:
        """Return the dropout of rows; None if no row has any."""
        return cls(rows, bounds) if any(rows) else None

    def start(self, device: torch.device) -> "DropoutDraws":
        """Start the draws of one forward pass."""
        spans = zip(self.bounds[:-1].tolist(), self.bounds[1:].tolist(), strict=True)
        dropped = [(row, slice(*span)) for row, span in zip(self.rows, spans, strict=True) if row]
        probabilities = torch.zeros(int(self.bounds[-1]), 1)
        for row, tokens in dropped:
            probabilities[tokens] = row.probability
        return DropoutDraws(
            probabilities.to(device),
            [(tokens, torch.Generator(device).manual_seed(row.seed)) for row, tokens in dropped],
        )


@dataclass(frozen=True, slots=True, eq=False)
class DropoutDraws:
    """The draws of one forward pass: every dropout of the encoder that runs takes the next ones.

    `probabilities` `[T, 1]` are those of the tokens, and `sources` the tokens of each row with its
    random numbers.
    """

    probabilities: Tensor
    sources: Sequence[tuple[slice, torch.Generator]]

    def drop(self, hidden: Tensor) -> Tensor:
        """Zero hidden units `[..., T, E]` at random, and scale up the rest."""
        numbers = torch.ones(hidden.shape[-2:], device=hidden.device)
        for tokens, source in self.sources:
            numbers[tokens].uniform_(generator=source)
        factors = (numbers >= self.probabilities) / (1 - self.probabilities)
        return hidden * factors.to(hidden.dtype)
