"""Prefix attention over a packed batch: the one function that transformers calls per layer.

Request i's queries see the keys and values of its own prefix and of its own tokens, never a
neighbour's. Prefix keys and values enter after the projections, with no position of their own
(P-tuning v2, `get_prompt`; PEFT prefix tuning).
"""

from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface

from prefixes.backbone.packing import PackedBatch

ATTENTION: Final = "polyprefix_packed"


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    packed: PackedBatch,
    prefix_pool: Tensor,
    dropout: float = 0.0,
    recorded: list[Tensor] | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend within each request of a packed batch, and to its prefix.

    Args:
        module: the attention layer; `layer_idx` says which.
        query: `[1, H, T, D]`.
        key: as `query`.
        value: as `query`.
        attention_mask: always None: a packed batch has no padding.
        scaling: factor of the scores, normally `D ** -0.5`.
        packed: which token belongs to which request, and where its prefix lies.
        prefix_pool: keys and values of all prefixes in use, `[L, 2, C, H, D]` for C slots.
        dropout: probability of dropping an attention weight.
        recorded: is given this layer's keys and values of the tokens, `[2, T, H, D]`.

    Returns:
        The attended values `[1, T, H, D]`, and None for the weights.
    """
    assert attention_mask is None
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    tokens = [x[0].transpose(0, 1) for x in (query, key, value)]  # (1, H, T, D) -> (T, H, D)
    if recorded is not None:
        recorded.append(torch.stack(tokens[1:]))
    outputs = []
    for group in packed.groups:
        q, k, v = (_gather(x, group.tokens, group.num_rows) for x in tokens)  # (n, S, H, D)
        if group.slots is not None:
            pk, pv = (_gather(x, group.slots, group.num_rows) for x in prefix_pool[layer])
            # (n, P, H, D)
            k, v = torch.cat((pk.to(k.dtype), k), 1), torch.cat((pv.to(v.dtype), v), 1)
        attended = _attend(q, k, v, mask=group.mask, scaling=scaling, dropout=dropout)
        outputs.append(attended.flatten(0, 1))  # (n * S, H, D)
    packed_output = torch.cat(outputs).index_select(0, packed.restore)  # (T, H, D)
    return packed_output[None], None


def _gather(values: Tensor, index: Tensor, num_rows: int) -> Tensor:
    """Collect rows' entries: `[X, H, D]` by an index `[n * S]` to `[n, S, H, D]`."""
    gathered = values.index_select(0, index)
    return gathered.view(num_rows, -1, *values.shape[1:])


def _attend(
    q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None, scaling: float, dropout: float
) -> Tensor:
    dtype = q.dtype
    if dtype == torch.bfloat16 and q.device.type == "cpu" and torch.is_grad_enabled():
        # The backward pass of bfloat16 attention runs several times slower than float32's on a
        # CPU and would eat all that bfloat16 gains in the linear layers.
        q, k, v = q.float(), k.float(), v.float()
    attended = functional.scaled_dot_product_attention(
        q.transpose(1, 2),  # (n, S, H, D) -> (n, H, S, D)
        k.transpose(1, 2),
        v.transpose(1, 2),
        attn_mask=mask,
        dropout_p=dropout,
        scale=scaling,
    )
    return attended.transpose(1, 2).to(dtype)


AttentionInterface.register(ATTENTION, packed_attention)
