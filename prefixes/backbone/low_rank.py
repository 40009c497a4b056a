"""Low-rank updates: the part of vectors that mixes the hidden units of a norm's output.

With a rank r, vectors add `U D y` to the output y of a norm, for matrices D `[r, hidden]` (down)
and U `[hidden, r]` (up) of the task. This is DiReFT (Wu et al. 2024, arXiv 2404.03592), at every
token and at every norm.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from prefixes.backbone.grouping import Ints, Padding, similar_rows, tensor_of


@dataclass(frozen=True, slots=True, eq=False)
class LowRankUpdates:
    """The updates of n texts of the same rank r and of similar lengths.

    The texts have R tokens in total, at `places` `[R]` of a batch. `downs` and `ups` `[n * r * m]`
    are the pool slots of D's rows and of U's columns. Each takes m slots, as many as the width of
    the norm has keys of all heads. Texts of one task count as one text, without `padding`.
    """

    num_texts: int
    padding: Padding | None
    places: Tensor
    downs: Tensor
    ups: Tensor

    @classmethod
    def of(
        cls, slots: Sequence[Ints], starts: Ints, lengths: Ints, device: torch.device | str
    ) -> Self:
        """Join texts, each with its `slots` `[2, r, m]`: of D, and of U."""
        padding = Padding.of(starts, lengths, device)
        places = padding.tokens.index_select(0, padding.real)
        downs, ups = np.stack(slots, axis=1).reshape(2, -1)
        return cls(len(slots), padding, places, tensor_of(downs, device), tensor_of(ups, device))

    @classmethod
    def of_one_task(
        cls, slots: Ints, starts: Ints, lengths: Ints, device: torch.device | str
    ) -> Self:
        """Join texts that have the same `slots` `[2, r, m]`."""
        spans = zip(starts.tolist(), lengths.tolist(), strict=True)
        places = np.concatenate([np.arange(start, start + length) for start, length in spans])
        downs, ups = slots.reshape(2, -1)
        return cls(
            1, None, tensor_of(places, device), tensor_of(downs, device), tensor_of(ups, device)
        )

    def of_tokens(self, pool: Tensor, hidden: Tensor) -> Tensor:
        """Return the updates `[R, hidden]` of a norm's output `[T, hidden]`, with its pool."""
        shape = (self.num_texts, -1, hidden.shape[-1])
        tokens = self.places if self.padding is None else self.padding.tokens
        padded = hidden.index_select(0, tokens).view(shape)
        down, up = (
            pool.index_select(0, slots).view(shape).to(hidden.dtype)
            for slots in (self.downs, self.ups)
        )
        updates = torch.bmm(torch.bmm(padded, down.mT), up).flatten(0, 1)
        return updates if self.padding is None else updates.index_select(0, self.padding.real)


def updates_of(
    slots: Sequence[Ints], starts: Ints, lengths: Ints, device: torch.device | str
) -> Iterator[LowRankUpdates]:
    """Divide texts by rank and length, each with its `slots` `[2, r, m]`. Some may have rank 0.

    Texts of one task stay together, because they need no padding. A training of one task has no
    others.
    """
    ranks = np.array([own.shape[1] for own in slots])
    for rank in np.unique(ranks[ranks > 0]):
        members = np.flatnonzero(ranks == rank)
        first = slots[members[0].item()]
        if all(np.array_equal(slots[n], first) for n in members.tolist()):
            yield LowRankUpdates.of_one_task(first, starts[members], lengths[members], device)
            continue
        for places in similar_rows(
            lengths[members].tolist(), [0] * len(members), parts_lengths=False
        ):
            some = members[places]
            yield LowRankUpdates.of([slots[n] for n in some], starts[some], lengths[some], device)
