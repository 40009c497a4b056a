"""Heads: pooling and output layers, applied to each request by its own task."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
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
    """A task's head on the device: output `[outputs, hidden]`, and a dense layer if any.

    An embedding has no output layer, so its number of outputs is the hidden size. A head is always
    in float32: in bfloat16, a regression of years would have a resolution of eight years.

    The last `num_projected` rows of the output layer project the features for the task's rejection
    rule. One larger multiplication costs no further call on the device.
    """

    spec: HeadSpec
    output_weight: Tensor | None = None
    output_bias: Tensor | None = None
    dense_weight: Tensor | None = None
    dense_bias: Tensor | None = None
    num_projected: int = 0

    def __call__(self, features: Tensor) -> Tensor:
        """Map features `[n, hidden]` to outputs `[n, outputs]`, in float32."""
        features = features.float()
        if self.spec.activation is not None:
            assert self.dense_weight is not None
            dense = functional.linear(features, self.dense_weight, self.dense_bias)
            features = _ACTIVATIONS[self.spec.activation](dense)
        if self.output_weight is not None:
            features = functional.linear(features, self.output_weight, self.output_bias)
        return functional.normalize(features, dim=-1) if self.spec.normalize else features


def head_outputs(
    hidden: Tensor,
    batch: PackedBatch,
    heads: Sequence[Head],
    *,
    pooler: Callable[[Tensor], Any] | None,
) -> list[Tensor]:
    """Apply to each of N requests its own head.

    Args:
        hidden: the backbone's last hidden states `[T, hidden]`.
        batch: the positions of each request's tokens.
        heads: one per request; requests that share a head object are computed together.
        pooler: the backbone's own frozen pooler, for heads that read it.

    Returns:
        N tensors in float32: `[outputs]`, or `[S, outputs]` for heads that read each of the S
        tokens of a text.
    """
    features = _features(hidden, batch, heads, pooler)
    members: dict[int, list[int]] = {}
    for index, head in enumerate(heads):
        members.setdefault(id(head), []).append(index)
    outputs: list[Tensor | None] = [None] * len(heads)
    for rows in members.values():
        head = heads[rows[0]]
        if head.spec.pooling == "every_token":
            texts = [batch.texts[row] for row in rows]
            joined = head(hidden[_index(texts, hidden)])
            each = torch.split(joined, [len(text) for text in texts])
        else:
            each = head(torch.stack([features[row] for row in rows])).unbind()
        for row, values in zip(rows, each, strict=True):
            outputs[row] = values
    return [values for values in outputs if values is not None]


def _features(
    hidden: Tensor,
    batch: PackedBatch,
    heads: Sequence[Head],
    pooler: Callable[[Tensor], Any] | None,
) -> dict[int, Tensor]:
    """Pool the requests whose heads need it to `[hidden]`, equal poolings in one step."""
    kinds: dict[tuple[Pooling, bool], list[int]] = {}
    for row, head in enumerate(heads):
        if head.spec.pooling != "every_token":
            kind = (head.spec.pooling, head.spec.pooled_from == "prompt")
            kinds.setdefault(kind, []).append(row)
    features: dict[int, Tensor] = {}
    for (pooling, from_prompt), rows in kinds.items():
        texts = [batch.texts[row] for row in rows]
        firsts = batch.cu_tokens[rows] if from_prompt else None
        features.update(zip(rows, _pool(pooling, hidden, texts, firsts, pooler), strict=True))
    return features


def _index(texts: Sequence[range], like: Tensor) -> Tensor:
    places = np.concatenate([np.arange(text.start, text.stop) for text in texts])
    return torch.from_numpy(places).to(like.device)


def _pool(
    pooling: Pooling,
    hidden: Tensor,
    texts: Sequence[range],
    firsts: Tensor | None,
    pooler: Callable[[Tensor], Any] | None,
) -> Tensor:
    """Reduce hidden states `[T, hidden]` to one vector per text, `[n, hidden]`.

    If given, `firsts` `[n]` are the indexes of tokens to use in place of the first tokens.
    """
    if pooling == "mean":
        lengths = torch.tensor([len(text) for text in texts], device=hidden.device)
        owner = torch.repeat_interleave(torch.arange(len(texts), device=hidden.device), lengths)
        sums = hidden.new_zeros(len(texts), hidden.shape[1], dtype=torch.float32)
        total = sums.index_add(0, owner, hidden[_index(texts, hidden)].float())
        return total / lengths[:, None]
    if firsts is None:
        firsts = torch.tensor([text.start for text in texts], device=hidden.device)
    first = hidden[firsts]
    if pooling == "first_token":
        return first
    assert pooler is not None, "checked when the prefix was accepted"
    pooled: Tensor = pooler(first[:, None])  # the pooler reads the first of its tokens
    return pooled
