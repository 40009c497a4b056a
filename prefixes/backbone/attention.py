"""Prefix attention over a packed batch.

The queries of a request attend to its own prefix and its own tokens, never to those of another
request. Prefix keys and values are inserted after the projections and have no position (P-tuning
v2, `get_prompt`; PEFT prefix tuning).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface

from prefixes.backbone.grouping import AttentionGroup
from prefixes.backbone.native.operator import attend_compiled
from prefixes.backbone.norms import NUM_NORMS
from prefixes.backbone.packing import PackedBatch
from prefixes.backbone.varlen import HALF

ATTENTION: Final = "polyprefix_packed"

RelativeScores = Callable[[Tensor, Tensor], Tensor]
"""Scores that depend on the distance of tokens. Maps queries and keys of n texts, `[n, S, H, D]`
each, to scaled terms `[n or 1, H, S, S]` that are added to the attention scores."""


@dataclass(slots=True, eq=False)
class PrefixedCall:
    """The state that the attention layers share during one forward pass of a batch.

    Calls and norms are counted to know the layer: some architectures do not number their layers,
    and ALBERT's are one shared module.

    `prefix_pool` holds the keys and values of all prefixes in use, `[L, 2, C, H, D]` for C slots.
    If `recorded` is set, each layer appends its keys and values of the tokens, `[2, T, H, D]`.
    """

    packed: PackedBatch
    prefix_pool: Tensor
    recorded: list[Tensor] | None = None
    num_layers_done: int = 0
    num_norms_done: list[int] = field(default_factory=lambda: [0] * NUM_NORMS)

    def modulate(self, norm: int, hidden: Tensor, *, in_place: bool) -> Tensor:
        """Apply the rows' vectors to the output `[..., T, hidden]` of the next layer's norm."""
        layer = self.num_norms_done[norm]
        self.num_norms_done[norm] += 1
        vectors = self.packed.vectors
        if vectors is None:
            return hidden
        return vectors.apply(self.prefix_pool[layer, norm], hidden, in_place=in_place)

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
        """Compute the next layer's attention: tokens attend to their own request and its prefix.

        Args:
            query: `[T, H, D]`.
            key: `[T, H, D]`; H may be a divisor of that of the queries, which then share keys.
            value: as `key`.
            scaling: factor of the scores, normally `D ** -0.5`.
            dropout: probability of dropping an attention weight.
            window: tokens attend to each other if their distance is smaller; all of them attend
                to the prefix.
            relative_scores: added to the scores between tokens, but not to those with prefix
                slots, which have no distance.

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
        compiled = self.packed.compiled
        first = 0 if compiled is None else compiled.num_tokens
        sizes = [group.num_tokens for group in self.packed.groups]
        (q, *qs), (k, *ks), (v, *vs) = (
            torch.split(x, [first, *sizes]) for x in (query, key, value)
        )
        outputs = []
        if compiled is not None:
            assert relative_scores is None
            assert not dropout
            outputs.append(
                attend_compiled(
                    q,
                    k,
                    v,
                    layer_pool,
                    row_bounds=compiled.bounds,
                    slot_bounds=compiled.slot_bounds,
                    slots=compiled.slots,
                    scaling=scaling,
                    window=window,
                )
            )
        for group, *own in zip(self.packed.groups, qs, ks, vs, strict=True):
            q, k, v = (group.by_row(_for_backward(x)) for x in own)
            bias = _bias(group, q, k, window=window, relative_scores=relative_scores)
            k, v = _with_prefixes(group, k, v, layer_pool)
            attended = _attend(q, k, v, bias=bias, scaling=scaling, dropout=dropout)
            outputs.append(group.end_to_end(attended).to(query.dtype))
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


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
    """Implement transformers' attention interface: `[1, H, T, D]` to `[1, T, H, D]`, no weights.

    `attention_mask` is always None, because a packed batch has no padding. `call` is the keyword
    argument that was passed to the model.
    """
    assert attention_mask is None
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))  # (1, H, T, D) -> (T, H, D)
    attended = call.attend(q, k, v, scaling=scaling, dropout=dropout, window=sliding_window)
    return attended[None], None


def _for_backward(values: Tensor) -> Tensor:
    """Convert bfloat16 on a CPU to float32 if there will be a backward pass.

    On a CPU, the backward pass of attention in bfloat16 is several times slower than in float32,
    which would cancel the gain of bfloat16 in the linear layers.
    """
    is_slow = values.dtype == torch.bfloat16 and values.device.type == "cpu"
    return values.float() if is_slow and torch.is_grad_enabled() else values


def _with_prefixes(
    group: AttentionGroup, k: Tensor, v: Tensor, layer_pool: Tensor
) -> tuple[Tensor, Tensor]:
    """Prepend each request's prefix to its keys and values `[n, S, H, D]`: `[n, P + S, H, D]`."""
    if group.slots is None:
        return k, v
    pk, pv = (_gather(x, group.slots, group.num_rows) for x in layer_pool)  # (n, P, H, D)
    return torch.cat((pk.to(k.dtype), k), 1), torch.cat((pv.to(v.dtype), v), 1)


def _gather(values: Tensor, index: Tensor, num_rows: int) -> Tensor:
    """Gather prefixes from the pool `[C, H, D]` by slots `[n * P]`: `[n, P, H, D]`."""
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
    """Combine a group's mask, window and relative scores: `[n, 1 or H, 1 or S, P + S]`."""
    mask = group.mask
    num_tokens = q.shape[1]
    num_slots = 0 if group.slots is None else len(group.slots) // group.num_rows
    if window is not None and num_tokens > window:
        places = torch.arange(num_tokens, device=q.device)
        near = (places[:, None] - places).abs() < window  # (S, S)
        near = functional.pad(near, (num_slots, 0), value=True)[None, None]
        # A token always attends to itself, so that padding has a key too. Attention without any
        # key is NaN, which would spread to all gradients.
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
