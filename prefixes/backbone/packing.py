"""PackedBatch: requests laid end to end, with no padding between them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Row:
    """One request of a batch: its tokens, and where its prefix lies in the pool.

    `first_position` is the position id of the first token: the architecture's own plus the
    prefix's offset. `slots` are the pool slots of the prefix's P keys and values, in order;
    without a prefix there are none, and the offset is 0.
    """

    token_ids: Sequence[int]
    token_type_ids: Sequence[int]
    first_position: int
    slots: Sequence[int] = ()


@dataclass(frozen=True, slots=True, eq=False)
class AttentionGroup:
    """Requests of similar length that one attention call handles together.

    n requests of at most S tokens and P prefix slots: `tokens` `[n * S]` indexes the packed
    tokens, `slots` `[n * P]` the pool, `mask` `[n, 1, 1, P + S]` is true where there is
    something to attend to (None where all requests of the group are equally long).
    """

    num_rows: int
    tokens: Tensor
    slots: Tensor | None
    mask: Tensor | None


@dataclass(frozen=True, slots=True, eq=False)
class PackedBatch:
    """N requests of T tokens in all, ready for the device.

    Request i owns tokens `cu_tokens[i]:cu_tokens[i + 1]`. `restore` `[T]` finds each token in
    the groups' outputs laid end to end.
    """

    token_ids: Tensor
    token_type_ids: Tensor
    position_ids: Tensor
    cu_tokens: Tensor
    groups: tuple[AttentionGroup, ...]
    restore: Tensor

    @property
    def num_tokens(self) -> int:
        return self.token_ids.shape[1]

    @property
    def num_rows(self) -> int:
        return len(self.cu_tokens) - 1

    @classmethod
    def pack(cls, rows: Sequence[Row], device: torch.device | str = "cpu") -> Self:
        """Lay the rows end to end and group them for attention. Needs at least one row."""
        lengths = np.array([len(row.token_ids) for row in rows])
        cu_tokens = np.concatenate(([0], np.cumsum(lengths)))
        positions = [
            np.arange(n) + row.first_position for row, n in zip(rows, lengths, strict=True)
        ]
        plans = [_plan_group(rows, members, cu_tokens) for members in _similar(rows)]
        return cls(
            token_ids=_tensor(np.concatenate([row.token_ids for row in rows]), device)[None],
            token_type_ids=_tensor(np.concatenate([row.token_type_ids for row in rows]), device)[
                None
            ],
            position_ids=_tensor(np.concatenate(positions), device)[None],
            cu_tokens=_tensor(cu_tokens, device),
            groups=tuple(plan.to(device) for plan in plans),
            restore=_tensor(_restore(plans, int(cu_tokens[-1])), device),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _GroupPlan:
    tokens: Ints  # (n, S)
    is_token: NDArray[np.bool_]  # (n, S)
    slots: Ints  # (n, P)
    is_slot: NDArray[np.bool_]  # (n, P)

    def to(self, device: torch.device | str) -> AttentionGroup:
        mask = np.concatenate((self.is_slot, self.is_token), axis=1)[:, None, None, :]
        return AttentionGroup(
            num_rows=len(self.tokens),
            tokens=_tensor(self.tokens.ravel(), device),
            slots=_tensor(self.slots.ravel(), device) if self.slots.size else None,
            mask=None if mask.all() else torch.from_numpy(mask).to(device),
        )


def _tensor(values: Ints, device: torch.device | str) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.int64)).to(device)


_STEPS = np.array([8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024])


def _step(length: int) -> int:
    """Round up to the next step, so that a group's texts differ by a third at most (above 8)."""
    index = int(np.searchsorted(_STEPS, length))
    return int(_STEPS[index]) if index < len(_STEPS) else length


def _similar(rows: Sequence[Row]) -> list[list[int]]:
    groups: dict[tuple[int, int], list[int]] = {}
    for index, row in enumerate(rows):
        prefix_step = _step(len(row.slots)) if row.slots else 0
        groups.setdefault((_step(len(row.token_ids)), prefix_step), []).append(index)
    return list(groups.values())


def _plan_group(rows: Sequence[Row], members: Sequence[int], cu_tokens: Ints) -> _GroupPlan:
    spans = [np.arange(cu_tokens[i], cu_tokens[i + 1]) for i in members]
    tokens, is_token = _pad(spans)
    slots, is_slot = _pad([np.asarray(rows[i].slots, dtype=np.int64) for i in members])
    return _GroupPlan(tokens, is_token, slots, is_slot)


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


def _restore(plans: Sequence[_GroupPlan], num_tokens: int) -> Ints:
    restore = np.empty(num_tokens, dtype=np.int64)
    start = 0
    for plan in plans:
        places = np.arange(plan.tokens.size).reshape(plan.tokens.shape) + start
        restore[plan.tokens[plan.is_token]] = places[plan.is_token]
        start += plan.tokens.size
    return restore
