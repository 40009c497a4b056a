"""Splits a step into passes through the backbone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from prefixes.backbone import Backbone, EncodedText, Row, RowDropout, Streams
from training.learning.evaluate import batches
from training.learning.learner import LearningHead
from training.learning.parallel import Processes
from training.learning.prefix_pool import PrefixPool
from training.learning.random_numbers import dropout_factors, seeds_of
from training.learning.run import Run
from training.tasks import Piece

PieceIndex = tuple[int, int]
"""A piece of a step: the index of its share, and its index in that share."""


@dataclass(frozen=True, slots=True, eq=False)
class StepShare:
    """The share of one run in a step: its pieces, and its slots in the pool or its prompt.

    The summed losses of its pieces are divided by `weight`. `factors` `[features, hidden]` multiply
    the features of each piece, and `dropouts` are those of its texts in the backbone. Both are
    drawn for the whole step, so they do not depend on how the step is split or on other runs.
    """

    run: Run
    pieces: list[Piece]
    slots: tuple[int, ...]
    prompt: Tensor | None
    weight: float
    factors: Sequence[Tensor] | None
    dropouts: Sequence[Sequence[RowDropout | None]]

    @classmethod
    def of(cls, run: Run, slots: range, prompt: Tensor | None) -> Self:
        pieces = run.next_pieces()
        return cls(
            run,
            pieces,
            tuple(slots),
            prompt,
            run.weight(pieces),
            _factors(run, pieces),
            _dropouts(run, pieces),
        )

    def rows(self, backbone: Backbone, place: int) -> list[Row]:
        """Return the rows of a piece's texts, with the prefix, vectors or prompt."""
        texts = self.pieces[place].texts
        return [
            self._row(backbone, text, dropout)
            for text, dropout in zip(texts, self.dropouts[place], strict=True)
        ]

    def _row(self, backbone: Backbone, text: EncodedText, dropout: RowDropout | None) -> Row:
        spec = self.run.spec
        if spec.method == "vectors":
            return backbone.row(text, vectors=self.slots, rank=spec.rank, dropout=dropout)
        return backbone.row(
            text,
            position_offset=self.run.config.offset,
            slots=self.slots,
            prompt=self.prompt,
            dropout=dropout,
        )

    def head(self, places: Sequence[int]) -> LearningHead:
        """Return the head for a pass with these pieces."""
        if self.factors is None:
            return self.run.learner.head()
        return self.run.learner.head(torch.cat([self.factors[place] for place in places]))


def shares_of(runs: Sequence[Run], prefix_pool: PrefixPool) -> list[StepShare]:
    """Return the shares of all runs, with their next rows."""
    return [
        StepShare.of(run, slots, prompt)
        for run, slots, prompt in zip(runs, prefix_pool.slots, prefix_pool.prompts, strict=True)
    ]


def passes_of(
    shares: Sequence[StepShare], tokens_per_batch: int, processes: Processes, streams: Streams
) -> list[list[PieceIndex]]:
    """Split a step into passes, and return those of this process.

    All passes that run at once stay within the token budget. If there are enough tokens, every
    stream of every process has a pass. Each pass goes to the process with the fewest tokens so far.
    """
    loads = [0] * processes.count
    mine = []
    most = max(1, tokens_per_batch // streams.num)
    for items in _cut(shares, most, at_once=streams.num * processes.count):
        owner = loads.index(min(loads))
        loads[owner] += _num_tokens(shares, items)
        if owner == processes.number:
            mine.append(items)
    return mine


def _cut(shares: Sequence[StepShare], most: int, *, at_once: int) -> Iterator[list[PieceIndex]]:
    """Split a step by the batches of every run. Texts of similar lengths run together."""
    for number in range(max(share.run.config.gradient_accumulation for share in shares)):
        units = [
            unit for index, share in enumerate(shares) for unit in _units(index, share, number)
        ]
        lengths = [_num_tokens(shares, unit) for unit in units]
        by_length = sorted(range(len(units)), key=lengths.__getitem__)
        for places in batches(by_length, lengths, most, at_once=at_once):
            yield [item for place in places for item in units[place]]


def _units(index: int, share: StepShare, number: int) -> list[list[PieceIndex]]:
    """Return the units of one batch of a share that must run together: single pieces, or all."""
    config = share.run.config
    size = config.batch_size + config.unlabeled_per_batch
    places = range(len(share.pieces))[number * size : (number + 1) * size]
    items = [(index, place) for place in places]
    if share.run.definition.couples_pieces:
        return [items] if items else []
    return [[item] for item in items]


def _num_tokens(shares: Sequence[StepShare], items: Sequence[PieceIndex]) -> int:
    pieces = [shares[index].pieces[place] for index, place in items]
    return sum(len(text.token_ids) for piece in pieces for text in piece.texts)


def _factors(run: Run, pieces: Sequence[Piece]) -> Sequence[Tensor] | None:
    if not run.config.feature_dropout:
        return None
    is_per_token = run.spec.head.pooling == "every_token"
    sizes = [
        sum(len(text.token_ids) if is_per_token else 1 for text in piece.texts) for piece in pieces
    ]
    shape = (sum(sizes), run.spec.backbone.hidden_size)
    generator = run.generator("feature dropout")
    return torch.split(dropout_factors(shape, run.config.feature_dropout, generator), sizes)


def _dropouts(run: Run, pieces: Sequence[Piece]) -> list[list[RowDropout | None]]:
    probability = run.config.hidden_dropout
    if not probability:
        return [[None] * len(piece.texts) for piece in pieces]
    num_texts = sum(len(piece.texts) for piece in pieces)
    seeds = iter(seeds_of(num_texts, run.generator("hidden dropout")))
    return [[RowDropout(probability, next(seeds)) for _ in piece.texts] for piece in pieces]
