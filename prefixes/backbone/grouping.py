"""Requests of a batch that share one call of attention, and pool slots of requests."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Ints = NDArray[np.int64]


def tensor_of(values: Ints, device: torch.device | str) -> Tensor:
    """Copy integers to a device, as int64."""
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.int64)).to(device)


@dataclass(frozen=True, slots=True, eq=False)
class TextSlots:
    """N texts that lie end to end, with pool slots of each, as the compiled kernels read them.

    Text i owns the tokens `bounds[i]:bounds[i + 1]` and `slots[slot_bounds[i]:slot_bounds[i + 1]]`.
    """

    num_tokens: int
    bounds: Tensor
    slot_bounds: Tensor
    slots: Tensor

    @classmethod
    def of(cls, lengths: Sequence[int], slots: Sequence[Sequence[int]]) -> Self:
        """Join texts from their numbers of tokens and their slots, on the CPU."""
        bounds = np.cumsum([0, *lengths])
        slot_bounds = np.cumsum([0, *map(len, slots)])
        joined = np.fromiter(chain.from_iterable(slots), np.int64, slot_bounds[-1])
        return cls(int(bounds[-1]), *map(torch.from_numpy, (bounds, slot_bounds, joined)))


@dataclass(frozen=True, slots=True, eq=False)
class Padding:
    """How R tokens of n requests are padded to `[n, S]`, and unpadded again.

    `tokens` `[n * S]` indexes the tokens that hold the requests; `real` `[R]` indexes the padded
    ones.
    """

    tokens: Tensor
    real: Tensor

    @classmethod
    def of(cls, starts: Ints, lengths: Ints, device: torch.device | str) -> Self:
        """Pad requests, which begin at `starts` `[n]`, to the longest of them.

        Padding repeats the request's own first token, for the reason given in `_pad`.
        """
        columns = np.arange(lengths.max())
        is_token = columns < lengths[:, None]
        places = starts[:, None] + np.where(is_token, columns, 0)
        return cls(tensor_of(places.ravel(), device), tensor_of(np.flatnonzero(is_token), device))


@dataclass(frozen=True, slots=True, eq=False)
class AttentionGroup:
    """Requests of equal or similar length that share one attention call.

    The group has n requests of at most S tokens and P prefix slots, and R tokens in total, end to
    end. Without `padding`, all requests have S tokens. `slots` `[n * P]` indexes the pool. `mask`
    `[n, 1, 1, P + S]` is true for keys that are not padding; None if none is.
    """

    num_rows: int
    longest: int
    num_tokens: int
    padding: Padding | None
    slots: Tensor | None
    mask: Tensor | None

    @classmethod
    def of(cls, lengths: Ints, slots: Sequence[Sequence[int]], device: torch.device | str) -> Self:
        """Make the group of n requests from their numbers of tokens `[n]` and their slots."""
        is_token = np.arange(lengths.max()) < lengths[:, None]
        padding = None
        if not is_token.all():
            padding = Padding.of(np.cumsum(lengths) - lengths, lengths, device)
        padded_slots, is_slot = _pad([np.asarray(own, dtype=np.int64) for own in slots])
        mask = np.concatenate((is_slot, is_token), axis=1)[:, None, None, :]
        return cls(
            num_rows=len(lengths),
            longest=int(lengths.max()),
            num_tokens=int(lengths.sum()),
            padding=padding,
            slots=tensor_of(padded_slots.ravel(), device) if padded_slots.size else None,
            mask=None if mask.all() else torch.from_numpy(mask).to(device),
        )

    def by_row(self, values: Tensor) -> Tensor:
        """Pad the group's values `[R, H, D]` to `[n, S, H, D]`."""
        if self.padding is not None:
            values = values.index_select(0, self.padding.tokens)
        return values.view(self.num_rows, self.longest, *values.shape[1:])

    def end_to_end(self, values: Tensor) -> Tensor:
        """Unpad values `[n, S, H, D]` to `[R, H, D]`."""
        joined = values.flatten(0, 1)
        return joined if self.padding is None else joined.index_select(0, self.padding.real)


_STEPS = np.array([8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024])


_SCORES_AT_ONCE = 2**22
"""Maximum number of scores between tokens in a group. If scores depend on distance, those of all
heads are in memory at once."""

_TOKENS_PER_CALL = 48
"""With fewer tokens, a separate attention call on a CPU costs more than the padding it saves."""


def _step(length: int) -> int:
    """Round up to the next step, so that lengths in a group differ by at most a third (above 8)."""
    index = int(np.searchsorted(_STEPS, length))
    return int(_STEPS[index]) if index < len(_STEPS) else length


def similar_rows(
    lengths: Sequence[int], prefix_lengths: Sequence[int], *, parts_lengths: bool
) -> list[list[int]]:
    """Divide N requests into groups, each a list of indexes.

    With `parts_lengths`, requests of different lengths get separate groups if that is faster.
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
    """Right-pad index lists to equal length by repeating each list's own first index.

    A masked value still has an effect if it is not finite, because 0 * infinity is NaN. With its
    own values as padding, a request's overflow cannot affect other requests.
    """
    lengths = np.array([len(span) for span in spans])
    is_real = np.arange(lengths.max())[None, :] < lengths[:, None]
    padded = np.zeros(is_real.shape, dtype=np.int64)
    if padded.size:
        padded[:] = [[span[0]] for span in spans]
    padded[is_real] = np.concatenate(spans)
    return padded, is_real
