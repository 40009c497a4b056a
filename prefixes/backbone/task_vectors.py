"""Task vectors: changes of the outputs of the norms, different for every row of a batch.

Tuning the weights of LayerNorm adapts a frozen encoder to a task (Qi et al. 2022,
arXiv 2211.08682). Here, the norms keep their weights, and their outputs are scaled and shifted for
each row. This has the same effect: `(w n + b) (1 + s) + t` for the normalized values n. With a
rank above 0, vectors also have low-rank updates.

A row without vectors keeps the output bit for bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor

from prefixes.backbone.grouping import Ints, TextSlots, tensor_of
from prefixes.backbone.low_rank import LowRankUpdates, updates_of
from prefixes.backbone.native.library import is_compiled
from prefixes.backbone.native.operator import modulate_compiled


class _Row(Protocol):
    @property
    def vectors(self) -> Sequence[int]: ...

    @property
    def rank(self) -> int: ...


@dataclass(frozen=True, slots=True, eq=False)
class TokenVectors:
    """The vectors of N tokens, which lie at `places` of a batch. None if they are all tokens.

    `slots` `[2, N * m]` are the pool slots of the scales and of the shifts of each token.
    """

    slots: Tensor
    places: Tensor | None
    updates: tuple[LowRankUpdates, ...]

    @classmethod
    def of(cls, rows: Sequence[_Row], bounds: Ints, device: torch.device | str) -> Self:
        having = [number for number, row in enumerate(rows) if row.vectors]
        starts, lengths = bounds[having], np.diff(bounds)[having]
        own = [np.reshape(rows[n].vectors, (2, 1 + rows[n].rank, -1)) for n in having]
        both = np.repeat(np.stack([slots[:, 0] for slots in own]), lengths, axis=0)
        ends = np.cumsum(lengths)
        places = np.arange(ends[-1]) + np.repeat(starts - ends + lengths, lengths)
        return cls(
            tensor_of(both.transpose(1, 0, 2).reshape(2, -1), device),
            None if len(having) == len(rows) else tensor_of(places, device),
            tuple(updates_of([slots[:, 1:] for slots in own], starts, lengths, device)),
        )

    def apply(self, pool: Tensor, hidden: Tensor, *, in_place: bool) -> Tensor:
        """Change the output `[T, hidden]` of a norm."""
        updates = [(one.places, one.of_tokens(pool, hidden)) for one in self.updates]
        changed = self._scale_and_shift(pool, hidden, in_place=in_place)
        for places, values in updates:
            changed.index_add_(0, places, values)
        return changed

    def _scale_and_shift(self, pool: Tensor, hidden: Tensor, *, in_place: bool) -> Tensor:
        own = hidden if self.places is None else hidden.index_select(0, self.places)
        scales, shifts = (
            pool.index_select(0, slots).view(own.shape).to(own.dtype) for slots in self.slots
        )
        if not in_place:
            changed = torch.addcmul(own, own, scales) + shifts
            return changed if self.places is None else hidden.index_copy(0, self.places, changed)
        own.addcmul_(own, scales).add_(shifts)
        return hidden if self.places is None else hidden.index_copy_(0, self.places, own)


@dataclass(slots=True, eq=False)
class TaskVectors:
    """The vectors of a batch, of which some rows have none.

    A vector has as many numbers as a norm is wide. It takes m slots of the pool, as many as that
    width has keys of all heads. A row of rank r has `2 (1 + r) m` slots: of the scales and the rows
    of D, then of the shifts and the columns of U. In the pool `[L, 2, C, H, D]`, the second index
    is the norm of the layer.

    `texts` has the slots by text, where the compiled operator runs. There, `tokens` is made when it
    is needed, which is where gradients are.
    """

    rows: Sequence[_Row]
    bounds: Ints
    device: torch.device | str
    texts: TextSlots | None = None
    tokens: TokenVectors | None = None

    @classmethod
    def of(cls, rows: Sequence[_Row], bounds: Ints, device: torch.device | str) -> Self | None:
        """Return the vectors of rows with `bounds` `[rows + 1]`; None if no row has any."""
        slots = [row.vectors for row in rows]
        if not any(slots):
            return None
        if _runs_compiled(device):
            return cls(rows, bounds, device, texts=TextSlots.of(np.diff(bounds).tolist(), slots))
        return cls(rows, bounds, device, tokens=TokenVectors.of(rows, bounds, device))

    def apply(self, pool: Tensor, hidden: Tensor, *, in_place: bool = False) -> Tensor:
        """Change the output `[..., T, hidden]` of a norm, with its pool `[C, H, D]`.

        `in_place` may overwrite `hidden`, which takes a fifth less time on a CPU, and two thirds
        less with the compiled operator.
        """
        flat = hidden.view(-1, hidden.shape[-1])
        if in_place and self.texts is not None and _fit_operator(hidden, pool):
            modulate_compiled(flat, pool, self.texts)
            return hidden
        if self.tokens is None:
            self.tokens = TokenVectors.of(self.rows, self.bounds, self.device)
        changed = self.tokens.apply(pool, flat, in_place=in_place)
        return hidden if in_place else changed.view_as(hidden)


def _runs_compiled(device: torch.device | str) -> bool:
    return torch.device(device).type == "cpu" and is_compiled()


def _fit_operator(hidden: Tensor, pool: Tensor) -> bool:
    """Return whether the compiled operator supports the number types."""
    is_known = hidden.dtype in {torch.float32, torch.bfloat16}
    return is_known and pool.dtype in {torch.float32, hidden.dtype}
