"""Attention of a group of requests, with PyTorch: padded where their lengths differ."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from prefixes.backbone.grouping import AttentionGroup

RelativeScores = Callable[[Tensor, Tensor], Tensor]
"""Scores that depend on the distance of tokens. Maps queries and keys of n texts, `[n, S, H, D]`
each, to scaled terms `[n or 1, H, S, S]` that are added to the attention scores."""


def attend_group(
    group: AttentionGroup,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    layer_pool: Tensor,
    *,
    scaling: float,
    dropout: float,
    window: int | None,
    relative_scores: RelativeScores | None,
) -> Tensor:
    """Compute attention of a group's tokens to their own request and its prefix.

    Args:
        group: the requests.
        query: of their R tokens, end to end: `[R, H, D]`.
        key: as `query`, but H may be a divisor.
        value: as `key`.
        layer_pool: keys and values of all prefixes `[2, C, H, D]`.
        scaling: factor of the scores.
        dropout: probability of dropping an attention weight.
        window: tokens attend to each other if their distance is smaller.
        relative_scores: added to the scores between tokens.

    Returns:
        The attended values `[R, H, D]`.
    """
    q, k, v = (group.by_row(_for_backward(x)) for x in (query, key, value))
    bias = _bias(group, q, k, window=window, relative_scores=relative_scores)
    k, v = _with_prefixes(group, k, v, layer_pool)
    attended = _attend(q, k, v, bias=bias, scaling=scaling, dropout=dropout)
    return group.end_to_end(attended).to(query.dtype)


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
