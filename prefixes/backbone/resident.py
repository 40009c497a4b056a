"""ResidentPrefix: a prefix on the device; and the classification of a batch of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from prefixes.backbone.encoder import Backbone
from prefixes.backbone.heads import Head, head_logits
from prefixes.backbone.packing import PackedBatch
from prefixes.backbone.tokens import EncodedText
from prefixes.prefix import HeadTensors, Prefix
from prefixes.spec import PrefixSpec


@dataclass(frozen=True, slots=True, eq=False)
class ResidentPrefix:
    """A prefix whose keys and values stand in `slots` of a pool, and its head on the device."""

    spec: PrefixSpec
    slots: tuple[int, ...]
    head: Head

    @classmethod
    def place(cls, prefix: Prefix, pool: Tensor, slots: Sequence[int]) -> Self:
        """Copy a prefix into P free slots of a pool `[L, 2, C, H, D]`."""
        pool[:, :, list(slots)] = stacked_kv(prefix).to(pool)
        return cls(prefix.spec, tuple(slots), head_on(prefix, pool))


def stacked_kv(prefix: Prefix) -> Tensor:
    """Give a prefix's keys and values in the pool's layout, `[L, 2, P, H, D]`."""
    both = [torch.from_numpy(x).transpose(1, 2) for x in (prefix.keys, prefix.values)]
    return torch.stack(both, dim=1)  # (L, H, P, D) twice -> (L, 2, P, H, D)


def head_on(prefix: Prefix, like: Tensor) -> Head:
    """Bring a prefix's head to the device and dtype of a tensor."""
    tensors: HeadTensors = prefix.head
    weights = (
        tensors.output_weight,
        tensors.output_bias,
        tensors.dense_weight,
        tensors.dense_bias,
    )
    moved = [None if w is None else torch.from_numpy(w).to(like) for w in weights]
    weight, bias, dense_weight, dense_bias = moved
    assert weight is not None
    assert bias is not None
    return Head(prefix.spec.head, weight, bias, dense_weight, dense_bias)


def pool_of(backbone: Backbone, prefixes: Sequence[Prefix]) -> tuple[Tensor, list[ResidentPrefix]]:
    """Make a pool that holds exactly these prefixes, in order."""
    pool = backbone.empty_pool(max(1, sum(prefix.spec.prefix_length for prefix in prefixes)))
    residents = []
    start = 0
    for prefix in prefixes:
        stop = start + prefix.spec.prefix_length
        residents.append(ResidentPrefix.place(prefix, pool, range(start, stop)))
        start = stop
    return pool, residents


@dataclass(frozen=True, slots=True, eq=False)
class MixedBatch:
    """Texts of any tasks, packed for the device, each with the head of its task."""

    packed: PackedBatch
    heads: tuple[Head, ...]

    @classmethod
    def pack(cls, backbone: Backbone, work: Sequence[tuple[EncodedText, ResidentPrefix]]) -> Self:
        """Pack every text after its own prefix. Needs at least one."""
        rows = [
            backbone.row(text, position_offset=resident.spec.position_offset, slots=resident.slots)
            for text, resident in work
        ]
        heads = tuple(resident.head for _, resident in work)
        return cls(PackedBatch.pack(rows, backbone.device), heads)

    @torch.inference_mode()
    def logits(self, backbone: Backbone, pool: Tensor) -> list[Tensor]:
        """Run the batch: one float32 logit vector per text, on the CPU."""
        hidden = backbone(self.packed, pool)
        return _to_host(head_logits(hidden, self.packed, self.heads, pooler=backbone.pooler))


def classify(
    backbone: Backbone, pool: Tensor, work: Sequence[tuple[EncodedText, ResidentPrefix]]
) -> list[Tensor]:
    """Run one mixed batch: every text with its own prefix and head.

    Returns:
        One float32 logit vector per text, on the CPU.
    """
    return MixedBatch.pack(backbone, work).logits(backbone, pool)


def _to_host(logits: Sequence[Tensor]) -> list[Tensor]:
    """Bring all logits over in one copy: a copy per request would wait for the device N times."""
    flat = torch.cat(list(logits)).cpu()
    return list(torch.split(flat, [len(values) for values in logits]))
