"""Passes: what a step takes of every run, cut into what goes through the backbone at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from prefixes.backbone import Backbone, EncodedText, Row, Streams
from training.learning.evaluate import batches
from training.learning.learner import LearningHead
from training.learning.parallel import Processes
from training.learning.prefix_pool import PrefixPool
from training.learning.random_numbers import dropout_factors
from training.learning.run import Run
from training.tasks import Piece

PieceIndex = tuple[int, int]
"""A piece of a step: the number of its share, and its place among the share's pieces."""


@dataclass(frozen=True, slots=True, eq=False)
class StepShare:
    """The share of one run in a step: its pieces, and its slots in the pool or its prompt.

    `weight` makes the mean of the losses of its pieces. `factors` are what the features of each
    piece are multiplied by, `[features, hidden]`: they are drawn for the whole step, so that they
    are the same however it is cut, and whoever takes part.
    """

    run: Run
    pieces: list[Piece]
    slots: tuple[int, ...]
    prompt: Tensor | None
    weight: float
    factors: Sequence[Tensor] | None

    @classmethod
    def of(cls, run: Run, slots: range, prompt: Tensor | None) -> Self:
        pieces = [run.pieces[number] for number in run.next_rows()]
        return cls(run, pieces, tuple(slots), prompt, run.weight(pieces), _factors(run, pieces))

    def row(self, backbone: Backbone, text: EncodedText) -> Row:
        """Place a text behind what steers it."""
        return backbone.row(
            text, position_offset=self.run.config.offset, slots=self.slots, prompt=self.prompt
        )

    def head(self, places: Sequence[int]) -> LearningHead:
        """Give the head for a pass with the pieces at these places."""
        if self.factors is None:
            return self.run.learner.head()
        return self.run.learner.head(torch.cat([self.factors[place] for place in places]))


def shares_of(runs: Sequence[Run], prefix_pool: PrefixPool) -> list[StepShare]:
    """Take the next rows of every run."""
    return [
        StepShare.of(run, slots, prompt)
        for run, slots, prompt in zip(runs, prefix_pool.slots, prefix_pool.prompts, strict=True)
    ]


def passes_of(
    shares: Sequence[StepShare], tokens_per_batch: int, processes: Processes, streams: Streams
) -> list[list[PieceIndex]]:
    """Cut a step into the passes of this process; all that run at once stay within the budget.

    There is one for every stream of every process, if there is so much to do, and they go to the
    process that has the fewest tokens so far.
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
    """Cut a step batch by batch of every run. Texts of similar lengths go through together."""
    for number in range(max(share.run.config.gradient_accumulation for share in shares)):
        units = [
            unit for index, share in enumerate(shares) for unit in _units(index, share, number)
        ]
        lengths = [_num_tokens(shares, unit) for unit in units]
        by_length = sorted(range(len(units)), key=lengths.__getitem__)
        for places in batches(by_length, lengths, most, at_once=at_once):
            yield [item for place in places for item in units[place]]


def _units(index: int, share: StepShare, number: int) -> list[list[PieceIndex]]:
    """List what must run together of one batch of a share: each piece alone, or all of them."""
    size = share.run.config.batch_size
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
