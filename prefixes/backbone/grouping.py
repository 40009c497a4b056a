"""AttentionGroup: requests of one batch that one call of attention handles together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Ints = NDArray[np.int64]


def tensor_of(values: Ints, device: torch.device | str) -> Tensor:
    """Bring whole numbers to a device, as int64."""
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.int64)).to(device)


@dataclass(frozen=True, slots=True, eq=False)
class Padding:
    """How R tokens of n requests spread over `[n, S]`, and where they are found there again.

    `tokens` `[n * S]` indexes the group's tokens, `real` `[R]` the places of the padded group.
    """

    tokens: Tensor
    real: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class AttentionGroup:
    """Requests of one or of similar length that one attention call handles together.

    n requests of at most S tokens and P prefix slots, R tokens in all, which lie end to end.
    Without `padding` all have S tokens. `slots` `[n * P]` indexes the pool; `mask`
    `[n, 1, 1, P + S]` is true where there is something to attend to (None: everywhere).
    """

    num_rows: int
    longest: int
    num_tokens: int
    padding: Padding | None
    slots: Tensor | None
    mask: Tensor | None

    @classmethod
    def of(cls, lengths: Ints, slots: Sequence[Sequence[int]], device: torch.device | str) -> Self:
        """Make the group of n requests of so many tokens `[n]`, each with its prefix's slots."""
        columns = np.arange(lengths.max())
        is_token = columns < lengths[:, None]
        padding = None
        if not is_token.all():
            # As with slots, padding repeats the request's own first token.
            firsts = np.cumsum(lengths) - lengths
            places = firsts[:, None] + np.where(is_token, columns, 0)
            real = np.flatnonzero(is_token)
            padding = Padding(tensor_of(places.ravel(), device), tensor_of(real, device))
        padded_slots, is_slot = _pad([np.asarray(own, dtype=np.int64) for own in slots])
        mask = np.concatenate((is_slot, is_token), axis=1)[:, None, None, :]
        return cls(
            num_rows=len(lengths),
            longest=len(columns),
            num_tokens=int(lengths.sum()),
            padding=padding,
            slots=tensor_of(padded_slots.ravel(), device) if padded_slots.size else None,
            mask=None if mask.all() else torch.from_numpy(mask).to(device),
        )

    def by_row(self, values: Tensor) -> Tensor:
        """Give the group's values `[R, H, D]` to its requests, `[n, S, H, D]`."""
        if self.padding is not None:
            values = values.index_select(0, self.padding.tokens)
        return values.view(self.num_rows, self.longest, *values.shape[1:])

    def end_to_end(self, values: Tensor) -> Tensor:
        """Take `[n, S, H, D]` back to the group's tokens, `[R, H, D]`."""
        joined = values.flatten(0, 1)
        return joined if self.padding is None else joined.index_select(0, self.padding.real)


_STEPS = np.array([8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024])


_SCORES_AT_ONCE = 2**22
"""Bounds a group's scores of tokens with tokens: where they depend on distance, they are in memory
as a whole, for every head.
"""

_TOKENS_PER_CALL = 48
"""Below this many tokens, a call of attention on a CPU costs more than the padding it saves."""


def _step(length: int) -> int:
    """Round up to the next step, so that a group's texts differ by a third at most (above 8)."""
    index = int(np.searchsorted(_STEPS, length))
    return int(_STEPS[index]) if index < len(_STEPS) else length


def similar_rows(
    lengths: Sequence[int], prefix_lengths: Sequence[int], *, parts_lengths: bool
) -> list[list[int]]:
    """Part N requests into groups, each a list of their numbers.

    With `parts_lengths`, only requests of the same length share a group where that pays.
    """
    by_step: dict[tuple[int, int], list[int]] = {}
    for index, (length, prefix_length) in enumerate(zip(lengths, prefix_lengths, strict=True)):
        prefix_step = _step(prefix_length) if prefix_length else 0
        by_step.setdefault((_step(length), prefix_step), []).append(index)
    return [
        members[start : start + size]
        for (step, _), similar in by_step.items()
        for size in [max(1, _SCORES_AT_ONCE // step**2)]
        for members in (_by_length(lengths, similar) if parts_lengths else [similar])
        for start in range(0, len(members), size)
    ]


def _by_length(lengths: Sequence[int], similar: list[int]) -> list[list[int]]:
    groups: dict[int, list[int]] = {}
    for index in similar:
        groups.setdefault(lengths[index], []).append(index)
    num_tokens = sum(lengths[index] for index in similar)
    pays = num_tokens >= _TOKENS_PER_CALL * len(groups)
    return list(groups.values()) if pays else [similar]


def _pad(spans: Sequence[Ints]) -> tuple[Ints, NDArray[np.bool_]]:
    """Right-pad index lists to one width by repeating each list's own first index.

    Its own, because a masked value still counts where it is not finite: 0 * infinity is NaN, and
    one request's overflow must not reach another.
    """
    lengths = np.array([len(span) for span in spans])
    is_real = np.arange(lengths.max())[None, :] < lengths[:, None]
    padded = np.zeros(is_real.shape, dtype=np.int64)
    if padded.size:
        padded[:] = [[span[0]] for span in spans]
    padded[is_real] = np.concatenate(spans)
    return padded, is_real
