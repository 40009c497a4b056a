"""Prefix attention over a packed batch: the one step where requests, and their prefixes, meet.

Request i's queries see the keys and values of its own prefix and of its own tokens, never a
neighbour's. Prefix keys and values enter after the projections, with no position of their own
(P-tuning v2, `get_prompt`; PEFT prefix tuning).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface

from prefixes.backbone.grouping import AttentionGroup
from prefixes.backbone.packing import PackedBatch
from prefixes.backbone.varlen import HALF

ATTENTION: Final = "polyprefix_packed"

RelativeScores = Callable[[Tensor, Tensor], Tensor]
"""Scores that depend on where tokens stand to each other: from queries and keys of n texts,
`[n, S, H, D]` each, to what is added to their scores, `[n or 1, H, S, S]`, already scaled."""


@dataclass(slots=True, eq=False)
class PrefixedCall:
    """One forward pass of a batch: what its attention layers share.

    Layers are counted as they call: some architectures do not number theirs, and ALBERT's are
    one and the same module.

    `prefix_pool` holds keys and values of all prefixes in use, `[L, 2, C, H, D]` for C slots.
    `recorded` is given each layer's keys and values of the tokens, `[2, T, H, D]`.
    """

    packed: PackedBatch
    prefix_pool: Tensor
    recorded: list[Tensor] | None = None
    num_layers_done: int = 0

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        scaling: float,
        dropout: float = 0.0,
        window: int | None = None,
        relative_scores: RelativeScores | None = None,
    ) -> Tensor:
        """Let the next layer's tokens attend within their requests, and to their prefixes.

        Args:
            query: `[T, H, D]`.
            key: `[T, H, D]`; H may be a divisor of the queries', which then share keys.
            value: as `key`.
            scaling: factor of the scores, normally `D ** -0.5`.
            dropout: probability of dropping an attention weight.
            window: tokens see each other when they stand less than this far apart; all of them
                see the prefix.
            relative_scores: added to the scores of tokens with tokens; those with prefix slots
                have no distance, and get nothing.

        Returns:
            The attended values `[T, H, D]`.
        """
        layer_pool = self.prefix_pool[self.num_layers_done]
        self.num_layers_done += 1
        if self.recorded is not None:
            self.recorded.append(torch.stack((key, value)))
        if self.packed.varlen is not None and query.dtype in HALF and not dropout:
            reaches_all = window is None or window >= self.packed.varlen.max_queries
            if relative_scores is None and reaches_all:
                return self.packed.varlen.attend(query, key, value, layer_pool, scaling=scaling)
        dtype = query.dtype
        if dtype == torch.bfloat16 and query.device.type == "cpu" and torch.is_grad_enabled():
            # The backward pass of bfloat16 attention runs several times slower than float32's on
            # a CPU and would eat all that bfloat16 gains in the linear layers.
            query, key, value = query.float(), key.float(), value.float()
        groups = self.packed.groups
        sizes = [group.num_tokens for group in groups]
        outputs = []
        for group, *parts in zip(
            groups, *(torch.split(x, sizes) for x in (query, key, value)), strict=True
        ):
            q, k, v = (group.by_row(part) for part in parts)
            bias = _bias(group, q, k, window=window, relative_scores=relative_scores)
            if group.slots is not None:
                pk, pv = (_gather(x, group.slots, group.num_rows) for x in layer_pool)
                # (n, P, H, D)
                k, v = torch.cat((pk.to(k.dtype), k), 1), torch.cat((pv.to(v.dtype), v), 1)
            attended = _attend(q, k, v, bias=bias, scaling=scaling, dropout=dropout)
            outputs.append(group.end_to_end(attended))
        return (outputs[0] if len(outputs) == 1 else torch.cat(outputs)).to(dtype)


def packed_attention(
    _module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    call: PrefixedCall,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Answer transformers' attention interface: `[1, H, T, D]` to `[1, T, H, D]`, and no weights.

    `attention_mask` is always None: a packed batch has no padding. `call` is the keyword argument
    that was given to the model.
    """
    assert attention_mask is None
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))  # (1, H, T, D) -> (T, H, D)
    attended = call.attend(q, k, v, scaling=scaling, dropout=dropout, window=sliding_window)
    return attended[None], None


def _gather(values: Tensor, index: Tensor, num_rows: int) -> Tensor:
    """Collect prefixes of the pool: `[C, H, D]` by slots `[n * P]` to `[n, P, H, D]`."""
    gathered = values.index_select(0, index)
    return gathered.view(num_rows, -1, *values.shape[1:])


def _bias(
    group: AttentionGroup,
    q: Tensor,
    k: Tensor,
    *,
    window: int | None,
    relative_scores: RelativeScores | None,
) -> Tensor | None:
    """Gather all that is added to a group's scores, or masks them, `[n, 1 or H, 1 or S, P + S]`."""
    mask = group.mask
    num_tokens = q.shape[1]
    num_slots = 0 if group.slots is None else len(group.slots) // group.num_rows
    if window is not None and num_tokens > window:
        places = torch.arange(num_tokens, device=q.device)
        near = (places[:, None] - places).abs() < window  # (S, S)
        near = functional.pad(near, (num_slots, 0), value=True)[None, None]
        # A token sees itself, so that padding, too, has something to attend to: no keys at all
        # would make NaN, in the gradients of all.
        itself = functional.pad(
            torch.eye(num_tokens, dtype=torch.bool, device=q.device), (num_slots, 0)
        )
        mask = near if mask is None else (mask & near) | itself
    if relative_scores is None:
        return mask
    scores = relative_scores(q, k).to(q.dtype)
    scores = functional.pad(scores, (num_slots, 0))  # (n or 1, H, S, P + S)
    return scores if mask is None else scores.masked_fill(~mask, -torch.inf)


def _attend(
    q: Tensor, k: Tensor, v: Tensor, *, bias: Tensor | None, scaling: float, dropout: float
) -> Tensor:
    attended = functional.scaled_dot_product_attention(
        q.transpose(1, 2),  # (n, S, H, D) -> (n, H, S, D)
        k.transpose(1, 2),
        v.transpose(1, 2),
        attn_mask=bias,
        dropout_p=dropout,
        scale=scaling,
        enable_gqa=q.shape[2] != k.shape[2],
    )
    return attended.transpose(1, 2)


AttentionInterface.register(ATTENTION, packed_attention)
