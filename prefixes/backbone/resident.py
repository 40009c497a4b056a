"""ResidentPrefix: a prefix on the device, and the batches that run such prefixes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import torch
from torch import Tensor

from prefixes.answers import split_outputs
from prefixes.backbone.encoder import Backbone
from prefixes.backbone.heads import Head, head_outputs
from prefixes.backbone.packing import PackedBatch
from prefixes.encoded import EncodedText
from prefixes.prefix import Prefix
from prefixes.spec import PrefixSpec

_HEAD_TENSORS: Final = (
    "head.output.weight",
    "head.output.bias",
    "head.dense.weight",
    "head.dense.bias",
)


@dataclass(frozen=True, slots=True, eq=False)
class ResidentPrefix:
    """A prefix with keys and values in the `slots` of a pool, and its head on the device.

    Of method "vectors", the vectors of the norms are in the slots `vectors` instead. A shallow
    prompt has embeddings `[P, E]` instead of slots; a head alone has neither.
    """

    spec: PrefixSpec
    slots: tuple[int, ...]
    head: Head
    vectors: tuple[int, ...] = ()
    prompt: Tensor | None = None

    @classmethod
    def place(cls, prefix: Prefix, pool: Tensor, slots: Sequence[int]) -> Self:
        """Copy a prefix to free slots of a pool `[L, 2, C, H, D]`."""
        head = head_on(prefix, pool.device)
        if prefix.spec.method == "prompt":
            prompt = torch.from_numpy(prefix.tensors["prompt.embeddings"]).to(pool)
            return cls(prefix.spec, (), head, prompt=prompt)
        if prefix.spec.method == "head":
            return cls(prefix.spec, (), head)
        pool[:, :, list(slots)] = stacked_slots(prefix).to(pool)
        if prefix.spec.method == "vectors":
            return cls(prefix.spec, (), head, vectors=tuple(slots))
        return cls(prefix.spec, tuple(slots), head)


def stacked_slots(prefix: Prefix) -> Tensor:
    """Return a prefix's keys and values, or its vectors, in the pool's layout `[L, 2, n, H, D]`.

    Of vectors, the second index is the norm of the layer. The scales of all hidden units and the
    rows of D are in the first half of the slots, the shifts and the columns of U in the second.
    """
    if prefix.spec.method == "vectors":
        return _stacked_vectors(prefix)
    names = ("prefix.keys", "prefix.values")
    both = [torch.from_numpy(prefix.tensors[name]).transpose(1, 2) for name in names]
    return torch.stack(both, dim=1)  # (L, H, P, D) twice -> (L, 2, P, H, D)


def _stacked_vectors(prefix: Prefix) -> Tensor:
    facts = prefix.spec.backbone
    scales, shifts = (torch.from_numpy(prefix.tensors[x]) for x in ("norms.scales", "norms.shifts"))
    vectors = [scales[:, :, None], shifts[:, :, None]]  # (L, 2, 1, hidden)
    if prefix.spec.rank:
        down, up = (torch.from_numpy(prefix.tensors[x]) for x in ("norms.down", "norms.up"))
        vectors = [vectors[0], down, vectors[1], up]  # (L, 2, 1 or r, hidden)
    shape = (facts.num_layers, 2, -1, facts.num_heads, facts.head_size)
    return torch.cat(vectors, dim=2).view(shape)


def head_on(prefix: Prefix, device: torch.device) -> Head:
    """Copy a prefix's head to a device, with the projection of its rejection rule if it has one."""
    weight, bias, dense_weight, dense_bias = (
        None if x is None else torch.from_numpy(x).to(device, torch.float32)
        for x in map(prefix.tensors.get, _HEAD_TENSORS)
    )
    head = Head(prefix.spec.head, weight, bias, dense_weight, dense_bias)
    rule = prefix.spec.rejection
    if rule is None or rule.projection is None:
        return head
    return _with_projection(head, torch.from_numpy(rule.projection.matrix).to(device))


def _with_projection(head: Head, projection: Tensor) -> Head:
    """Append a projection `[hidden, r]` to a head's output layer."""
    assert head.output_weight is not None
    assert head.output_bias is not None
    num_projected = projection.shape[1]
    return replace(
        head,
        output_weight=torch.cat([head.output_weight, projection.T]),
        output_bias=torch.cat([head.output_bias, head.output_bias.new_zeros(num_projected)]),
        num_projected=num_projected,
    )


def pool_of(backbone: Backbone, prefixes: Sequence[Prefix]) -> tuple[Tensor, list[ResidentPrefix]]:
    """Make a pool that contains exactly these prefixes, in order."""
    pool = backbone.empty_pool(max(1, sum(prefix.spec.num_slots for prefix in prefixes)))
    residents = []
    start = 0
    for prefix in prefixes:
        stop = start + prefix.spec.num_slots
        residents.append(ResidentPrefix.place(prefix, pool, range(start, stop)))
        start = stop
    return pool, residents


@dataclass(frozen=True, slots=True, eq=False)
class MixedBatch:
    """Texts of different tasks, packed for the device, each with the head of its task."""

    packed: PackedBatch
    heads: tuple[Head, ...]

    @classmethod
    def pack(cls, backbone: Backbone, work: Sequence[tuple[EncodedText, ResidentPrefix]]) -> Self:
        """Pack every text with its own prefix. Needs at least one text."""
        rows = [
            backbone.row(
                text,
                position_offset=resident.spec.position_offset,
                slots=resident.slots,
                vectors=resident.vectors,
                rank=resident.spec.rank,
                prompt=resident.prompt,
            )
            for text, resident in work
        ]
        heads = tuple(resident.head for _, resident in work)
        return cls(backbone.pack(rows), heads)

    @torch.inference_mode()
    def outputs(self, backbone: Backbone, pool: Tensor) -> list[Tensor]:
        """Run the batch and return float32 `[outputs]` or `[S, outputs]` per text, on the CPU.

        The outputs of a head with a projection are followed by the projected features.
        """
        hidden = backbone(self.packed, pool)
        return _to_host(head_outputs(hidden, self.packed, self.heads, pooler=backbone.pooler))


def run_mixed(
    backbone: Backbone, pool: Tensor, work: Sequence[tuple[EncodedText, ResidentPrefix]]
) -> list[Tensor]:
    """Run one mixed batch: every text with its own prefix and head.

    Returns:
        The float32 outputs of every text on the CPU: `[outputs]`, or `[S, outputs]` for tasks with
        outputs per token.
    """
    batch = MixedBatch.pack(backbone, work)
    outputs = batch.outputs(backbone, pool)
    return [
        split_outputs(values, head.num_projected)[0]
        for values, head in zip(outputs, batch.heads, strict=True)
    ]


def _to_host(outputs: Sequence[Tensor]) -> list[Tensor]:
    """Copy all outputs at once: a copy per request would wait for the device N times."""
    flat = torch.cat([values.flatten() for values in outputs]).cpu()
    parts = torch.split(flat, [values.numel() for values in outputs])
    return [part.view(values.shape) for part, values in zip(parts, outputs, strict=True)]
