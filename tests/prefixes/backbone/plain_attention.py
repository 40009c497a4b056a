"""The specification of prefix attention over a packed batch: explicit loops in float64."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class AttentionCase:
    """Inputs of one attention call: `[T, H, D]`, the layer's pool `[2, C, H, D]`, and N texts."""

    query: Tensor
    key: Tensor
    value: Tensor
    pool: Tensor
    lengths: Sequence[int]
    slots: Sequence[Sequence[int]]
    scaling: float = 0.3  # unusual, so that ignoring it shows
    window: int | None = None

    @property
    def bounds(self) -> list[int]:
        """The start of each text's tokens, and the end of the last."""
        return [sum(self.lengths[:n]) for n in range(len(self.lengths) + 1)]


def plain_attention(case: AttentionCase) -> Tensor:
    """Compute `[T, H, D]` in float64, one query and one head at a time."""
    query, key, value, pool = (x.double() for x in (case.query, case.key, case.value, case.pool))
    shared_by = query.shape[1] // key.shape[1]
    output = torch.zeros_like(query)
    for start, length, slots in zip(case.bounds, case.lengths, case.slots, strict=False):
        for place in range(length):
            first, last = 0, length
            if case.window is not None:
                first, last = max(0, place - case.window + 1), min(length, place + case.window)
            own = slice(start + first, start + last)
            keys = torch.cat((pool[0, list(slots)], key[own]))  # (P + S, H, D)
            values = torch.cat((pool[1, list(slots)], value[own]))
            for head in range(query.shape[1]):
                theirs = head // shared_by
                scores = keys[:, theirs] @ query[start + place, head] * case.scaling
                output[start + place, head] = scores.softmax(0) @ values[:, theirs]
    return output
