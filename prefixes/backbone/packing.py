"""PackedBatch: requests laid end to end, with no padding between them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from prefixes.backbone.dropout import BatchDropout, RowDropout
from prefixes.backbone.grouping import AttentionGroup, Ints, TextSlots, similar_rows, tensor_of
from prefixes.backbone.task_vectors import TaskVectors
from prefixes.backbone.varlen import VarlenPlan


@dataclass(frozen=True, slots=True)
class Row:
    """One request of a batch: its tokens, and the pool slots of its prefix.

    `first_position` is the position id of the first token: that of the architecture plus the
    prefix's offset. `slots` are the pool slots of the prefix's P keys and values, in order. Without
    a prefix, `slots` is empty and the offset is 0. A shallow prompt's embeddings `[P, E]` precede
    the tokens in the row, and the first position is that of the prompt. `vectors` are the pool
    slots of the task's vectors of the norms, if it has any, and `rank` is their rank. A row that
    trains may have `dropout`.
    """

    token_ids: Sequence[int]
    token_type_ids: Sequence[int]
    first_position: int
    slots: Sequence[int] = ()
    vectors: Sequence[int] = ()
    rank: int = 0
    prompt: Tensor | None = None
    dropout: RowDropout | None = None

    @property
    def prompt_length(self) -> int:
        return 0 if self.prompt is None else len(self.prompt)

    @property
    def num_tokens(self) -> int:
        """Count the positions that the row takes, including those of a prompt."""
        return self.prompt_length + len(self.token_ids)


@dataclass(frozen=True, slots=True, eq=False)
class Prompts:
    """The shallow prompts of a batch, and the tokens that follow them.

    `places` `[Q]` are the indexes in the batch of the prompts' `embeddings` `[Q, E]`. The tokens
    that follow prompts are at `text_places` `[R]`. They are embedded twice, as in P-tuning v2: once
    separately, with `token_type_ids` and `position_ids` `[1, R]`, and again behind the prompt.
    """

    places: Tensor
    embeddings: Tensor
    text_places: Tensor
    token_type_ids: Tensor
    position_ids: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class PackedBatch:
    """N requests of T tokens in total, on the device.

    In the caller's order, request i owns the tokens `cu_tokens[i]:cu_tokens[i + 1]`, including a
    prompt's positions; its text is at `texts[i]`. The backbone's result is in this order.

    `token_ids`, `token_type_ids`, `position_ids`, `prompts` and the hidden states of all layers are
    in the order in which attention needs them: first the requests of the compiled attention, which
    `compiled` describes, then `groups` of similar length. The requests of a group are adjacent, so
    that attention need not gather them. `restore` `[T]` maps the caller's order to this one; it is
    None if they are the same. On CUDA, `varlen` replaces the groups for attention without relative
    scores and windows.
    """

    token_ids: Tensor
    token_type_ids: Tensor
    position_ids: Tensor
    cu_tokens: Tensor
    texts: tuple[range, ...]
    prompts: Prompts | None = None
    vectors: TaskVectors | None = None
    dropout: BatchDropout | None = None
    compiled: TextSlots | None = None
    groups: tuple[AttentionGroup, ...] = ()
    restore: Tensor | None = None
    varlen: VarlenPlan | None = None

    @property
    def num_tokens(self) -> int:
        return self.token_ids.shape[1]

    @property
    def num_rows(self) -> int:
        return len(self.cu_tokens) - 1

    @property
    def parts(self) -> tuple[TextSlots | AttentionGroup, ...]:
        """The tokens that attention computes in separate calls, as they lie."""
        return self.groups if self.compiled is None else (self.compiled, *self.groups)

    @classmethod
    def pack(
        cls,
        rows: Sequence[Row],
        device: torch.device | str = "cpu",
        *,
        longest_compiled: int = 0,
    ) -> Self:
        """Join the rows, and divide them for attention. Needs at least one row.

        On a CPU, rows of at most `longest_compiled` tokens use the compiled attention. A row's own
        length decides, so that its result does not depend on the rest of the batch.
        """
        lengths = [row.num_tokens for row in rows]
        compiled = [n for n, length in enumerate(lengths) if length <= longest_compiled]
        others = [n for n, length in enumerate(lengths) if length > longest_compiled]
        kind = torch.device(device).type
        members = _similar(rows, others, parts_lengths=kind == "cpu")
        order = np.array([*compiled, *chain.from_iterable(members)])
        laid = [rows[index] for index in order]
        is_moved = bool((np.diff(order) != 1).any())
        return cls._of(
            rows,
            laid,
            device,
            compiled=_text_slots([rows[index] for index in compiled]) if compiled else None,
            groups=tuple(_group([rows[index] for index in some], device) for some in members),
            restore=tensor_of(_places(_bounds(rows), _bounds(laid), order), device)
            if is_moved
            else None,
            varlen=VarlenPlan.of(
                [row.num_tokens for row in laid], [row.slots for row in laid], device
            )
            if kind == "cuda"
            else None,
        )

    @classmethod
    def _of(
        cls, rows: Sequence[Row], laid: Sequence[Row], device: torch.device | str, **layout: Any
    ) -> Self:
        """Make the batch of rows, which may lie in another order than the caller's."""
        bounds, cu_tokens = _bounds(laid), _bounds(rows)
        shifts = np.array([row.first_position for row in laid]) - bounds[:-1]
        positions = np.arange(bounds[-1]) + np.repeat(shifts, np.diff(bounds))
        return cls(
            token_ids=_joined([_behind_prompt(row, row.token_ids) for row in laid], device),
            token_type_ids=_joined([_second_types(row) for row in laid], device),
            position_ids=tensor_of(positions, device)[None],
            cu_tokens=tensor_of(cu_tokens, device),
            texts=tuple(
                range(stop - len(row.token_ids), stop)
                for row, stop in zip(rows, cu_tokens[1:].tolist(), strict=True)
            ),
            vectors=TaskVectors.of(laid, bounds, device),
            dropout=BatchDropout.of([row.dropout for row in laid], bounds),
            prompts=_prompts(laid, bounds[:-1].tolist(), device),
            **layout,
        )

    def in_layout_order(self, values: Tensor) -> Tensor:
        """Reorder values of the T tokens from the caller's order to the order in which they lie."""
        if self.restore is None:
            return values
        return torch.empty_like(values).index_copy(0, self.restore, values)

    def in_callers_order(self, values: Tensor, dim: int = 0) -> Tensor:
        """Reorder values of the T tokens from the order in which they lie."""
        return values if self.restore is None else values.index_select(dim, self.restore)


def _places(cu_tokens: Ints, bounds: Ints, order: Ints) -> Ints:
    """Return where the tokens of the caller's order lie: `[T]`."""
    moves = bounds[:-1][np.argsort(order)] - cu_tokens[:-1]
    return np.arange(cu_tokens[-1]) + np.repeat(moves, np.diff(cu_tokens))


def _similar(rows: Sequence[Row], some: Sequence[int], *, parts_lengths: bool) -> list[list[int]]:
    """Divide some of the rows into groups of similar ones, each a list of indexes."""
    found = similar_rows(
        [rows[index].num_tokens for index in some],
        [len(rows[index].slots) for index in some],
        parts_lengths=parts_lengths,
    )
    return [[some[place] for place in places] for places in found]


def _text_slots(rows: Sequence[Row]) -> TextSlots:
    return TextSlots.of([row.num_tokens for row in rows], [row.slots for row in rows])


def _group(rows: Sequence[Row], device: torch.device | str) -> AttentionGroup:
    lengths = np.array([row.num_tokens for row in rows])
    return AttentionGroup.of(lengths, [row.slots for row in rows], device)


def _bounds(rows: Sequence[Row]) -> Ints:
    """Return the start of each of N joined rows, and the end of the last: `[N + 1]`."""
    return np.cumsum([0, *(row.num_tokens for row in rows)])


def _behind_prompt(row: Row, values: Sequence[int]) -> Sequence[int]:
    return values if row.prompt is None else [0] * row.prompt_length + list(values)


def _second_types(row: Row) -> Sequence[int]:
    """Return the token types that the model gets: all 0 for a row with a prompt."""
    return row.token_type_ids if row.prompt is None else [0] * row.num_tokens


def _joined(parts: Sequence[Sequence[int] | Ints], device: torch.device | str) -> Tensor:
    return tensor_of(np.concatenate(parts), device)[None]


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
