"""PackedBatch: requests laid end to end, with no padding between them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prefixes.backbone.varlen import VarlenPlan

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Row:
    """One request of a batch: its tokens, and where its prefix lies in the pool.

    `first_position` is the position id of the first token: the architecture's own plus the
    prefix's offset. `slots` are the pool slots of the prefix's P keys and values, in order;
    without a prefix there are none, and the offset is 0. A shallow prompt's embeddings `[P, E]`
    stand in front of the tokens, in the row itself, and the first position is the prompt's.
    """

    token_ids: Sequence[int]
    token_type_ids: Sequence[int]
    first_position: int
    slots: Sequence[int] = ()
    prompt: Tensor | None = None

    @property
    def prompt_length(self) -> int:
        return 0 if self.prompt is None else len(self.prompt)

    @property
    def num_tokens(self) -> int:
        """Count the positions that the row takes, a prompt's included."""
        return self.prompt_length + len(self.token_ids)


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
class Prompts:
    """The shallow prompts of a batch, and the tokens that follow them.

    `places` `[Q]` says where in the batch the prompts' Q `embeddings` `[Q, E]` stand. The tokens
    of their rows, at `text_places` `[R]`, are embedded twice, as in P-tuning v2: on their own,
    with `token_type_ids` and `position_ids` `[1, R]`, and again behind the prompt.
    """

    places: Tensor
    embeddings: Tensor
    text_places: Tensor
    token_type_ids: Tensor
    position_ids: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class PackedBatch:
    """N requests of T tokens in all, ready for the device.

    Request i owns tokens `cu_tokens[i]:cu_tokens[i + 1]`, a prompt's positions among them; its
    text lies at `texts[i]`. `restore` `[T]` finds each token in the groups' outputs laid end to
    end. On CUDA, attention that has nothing but prefixes goes by `varlen` instead of the groups.
    """

    token_ids: Tensor
    token_type_ids: Tensor
    position_ids: Tensor
    cu_tokens: Tensor
    texts: tuple[range, ...]
    groups: tuple[AttentionGroup, ...]
    restore: Tensor
    prompts: Prompts | None = None
    varlen: VarlenPlan | None = None

    @property
    def num_tokens(self) -> int:
        return self.token_ids.shape[1]

    @property
    def num_rows(self) -> int:
        return len(self.cu_tokens) - 1

    @classmethod
    def pack(cls, rows: Sequence[Row], device: torch.device | str = "cpu") -> Self:
        """Lay the rows end to end and group them for attention. Needs at least one row."""
        lengths = np.array([row.num_tokens for row in rows])
        cu_tokens = np.concatenate(([0], np.cumsum(lengths)))
        starts = cu_tokens[:-1].tolist()
        positions = [
            np.arange(n) + row.first_position for row, n in zip(rows, lengths, strict=True)
        ]
        plans = [_plan_group(rows, members, cu_tokens) for members in _similar(rows)]
        return cls(
            token_ids=_joined([_behind_prompt(row, row.token_ids) for row in rows], device),
            token_type_ids=_joined([_second_types(row) for row in rows], device),
            position_ids=_joined(positions, device),
            cu_tokens=_tensor(cu_tokens, device),
            texts=tuple(
                range(start + row.prompt_length, start + row.num_tokens)
                for start, row in zip(starts, rows, strict=True)
            ),
            groups=tuple(plan.to(device) for plan in plans),
            restore=_tensor(_restore(plans, int(cu_tokens[-1])), device),
            prompts=_prompts(rows, starts, device),
            varlen=VarlenPlan.of(lengths.tolist(), [row.slots for row in rows], device)
            if torch.device(device).type == "cuda"
            else None,
        )


def _behind_prompt(row: Row, values: Sequence[int]) -> Sequence[int]:
    return values if row.prompt is None else [0] * row.prompt_length + list(values)


def _second_types(row: Row) -> Sequence[int]:
    """Give the token types of a row as the model sees it: behind a prompt, all are 0."""
    return row.token_type_ids if row.prompt is None else [0] * row.num_tokens


def _joined(parts: Sequence[Sequence[int] | Ints], device: torch.device | str) -> Tensor:
    return _tensor(np.concatenate(parts), device)[None]


def _prompts(
    rows: Sequence[Row], starts: Sequence[int], device: torch.device | str
) -> Prompts | None:
    prompted = [(row, start) for row, start in zip(rows, starts, strict=True) if row.prompt_length]
    if not prompted:
        return None
    places = [np.arange(start, start + row.prompt_length) for row, start in prompted]
    texts = [
        np.arange(start + row.prompt_length, start + row.num_tokens) for row, start in prompted
    ]
    positions = [np.arange(len(row.token_ids)) + row.first_position for row, _ in prompted]
    return Prompts(
        places=_joined(places, device)[0],
        embeddings=torch.cat([row.prompt for row, _ in prompted if row.prompt is not None]),
        text_places=_joined(texts, device)[0],
        token_type_ids=_joined([row.token_type_ids for row, _ in prompted], device),
        position_ids=_joined(positions, device),
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


_SCORES_AT_ONCE = 2**22
"""Bounds a group's scores of tokens with tokens: where they depend on distance, they are in memory
as a whole, for every head.
"""


def _step(length: int) -> int:
    """Round up to the next step, so that a group's texts differ by a third at most (above 8)."""
    index = int(np.searchsorted(_STEPS, length))
    return int(_STEPS[index]) if index < len(_STEPS) else length


def _similar(rows: Sequence[Row]) -> list[list[int]]:
    groups: dict[tuple[int, int], list[int]] = {}
    for index, row in enumerate(rows):
        prefix_step = _step(len(row.slots)) if row.slots else 0
        groups.setdefault((_step(row.num_tokens), prefix_step), []).append(index)
    return [
        members[start : start + size]
        for (length, _), members in groups.items()
        for size in [max(1, _SCORES_AT_ONCE // length**2)]
        for start in range(0, len(members), size)
    ]


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
