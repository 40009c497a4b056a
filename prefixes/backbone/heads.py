"""Heads: each request's hidden states through its own task's pooling and layers to its logits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from prefixes.backbone.packing import PackedBatch
from prefixes.spec import Activation, HeadSpec, Pooling

_ACTIVATIONS: Final[dict[Activation, Callable[[Tensor], Tensor]]] = {
    "tanh": torch.tanh,
    "gelu": functional.gelu,
    "relu": functional.relu,
}


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A task's head on the device: output `[labels, hidden]`, and its dense layer if any."""

    spec: HeadSpec
    output_weight: Tensor
    output_bias: Tensor
    dense_weight: Tensor | None = None
    dense_bias: Tensor | None = None

    def __call__(self, features: Tensor) -> Tensor:
        """Map pooled features `[n, hidden]` to logits `[n, labels]`."""
        if self.spec.activation is not None:
            assert self.dense_weight is not None
            dense = functional.linear(features, self.dense_weight, self.dense_bias)
            features = _ACTIVATIONS[self.spec.activation](dense)
        return functional.linear(features, self.output_weight, self.output_bias)


def head_logits(
    hidden: Tensor,
    batch: PackedBatch,
    heads: Sequence[Head],
    *,
    pooler: Callable[[Tensor], Any] | None,
) -> list[Tensor]:
    """Put each of N requests through its own head.

    Args:
        hidden: the backbone's last hidden states `[T, hidden]`.
        batch: where each request's tokens lie.
        heads: one per request; requests that share a head object are computed together.
        pooler: the backbone's own frozen pooler, for heads that read it.

    Returns:
        N logit vectors in float32, each as long as its task has labels.
    """
    members: dict[int, list[int]] = {}
    for index, head in enumerate(heads):
        members.setdefault(id(head), []).append(index)
    features = {
        pooling: _pool(pooling, hidden, batch, pooler)
        for pooling in {h.spec.pooling for h in heads}
    }
    logits: list[Tensor | None] = [None] * len(heads)
    for rows in members.values():
        head = heads[rows[0]]
        pooled = features[head.spec.pooling][rows]
        for row, values in zip(rows, head(pooled).float(), strict=True):
            logits[row] = values
    return [values for values in logits if values is not None]


def _pool(
    pooling: Pooling, hidden: Tensor, batch: PackedBatch, pooler: Callable[[Tensor], Any] | None
) -> Tensor:
    """Reduce hidden states `[T, hidden]` to one vector per request `[N, hidden]`."""
    if pooling == "mean":
        lengths = batch.cu_tokens.diff()
        owner = torch.repeat_interleave(torch.arange(len(lengths), device=hidden.device), lengths)
        sums = hidden.new_zeros(len(lengths), hidden.shape[1], dtype=torch.float32)
        return (sums.index_add(0, owner, hidden.float()) / lengths[:, None]).to(hidden.dtype)
    first = hidden[batch.cu_tokens[:-1]]
    if pooling == "first_token":
        return first
    assert pooler is not None, "checked when the prefix was accepted"
    pooled: Tensor = pooler(first[:, None])  # the pooler reads the first of its tokens
    return pooled
