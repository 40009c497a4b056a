"""Attention over texts of different lengths in one kernel, without padding, for CUDA.

The keys of a request are those of its prefix and then of its own tokens. All requests are joined;
`torch.nn.attention.varlen.varlen_attn` gets the start of each.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn

Kernel = Callable[..., Any]
"""A function with the signature of `varlen_attn`. It maps queries `[Tq, H, D]`, keys and values
`[Tk, H, D]`, and the starts of the requests to the attended values `[Tq, H, D]`."""

HALF: Final = (torch.bfloat16, torch.float16)
"""The number types that the kernel supports."""


@dataclass(frozen=True, slots=True, eq=False)
class VarlenPlan:
    """The layout of queries and keys of N requests with T tokens and Q prefix slots.

    `cu_queries` and `cu_keys` are `[N + 1]` int32. Of the `T + Q` keys, those at `token_places`
    `[T]` belong to tokens; those at `slot_places` `[Q]` come from the pool's `slots` `[Q]`.
    """

    kernel: Kernel
    cu_queries: Tensor
    cu_keys: Tensor
    max_queries: int
    max_keys: int
    token_places: Tensor
    slot_places: Tensor
    slots: Tensor

    @classmethod
    def of(
        cls,
        lengths: Sequence[int],
        slots: Sequence[Sequence[int]],
        device: torch.device | str,
        kernel: Kernel = varlen_attn,
    ) -> Self:
        """Plan for requests by their numbers of tokens and their slots."""
        num_slots = [len(own) for own in slots]
        num_keys = [n + p for n, p in zip(lengths, num_slots, strict=True)]
        starts = np.concatenate(([0], np.cumsum(num_keys)))
        slot_places = [np.arange(p) + s for p, s in zip(num_slots, starts[:-1], strict=True)]
        token_places = [
            np.arange(n) + s + p for n, p, s in zip(lengths, num_slots, starts[:-1], strict=True)
        ]

        def tensor(values: Any, dtype: type = np.int64) -> Tensor:
            return torch.from_numpy(np.asarray(values, dtype=dtype)).to(device)

        return cls(
            kernel=kernel,
            cu_queries=tensor(np.concatenate(([0], np.cumsum(lengths))), np.int32),
            cu_keys=tensor(starts, np.int32),
            max_queries=max(lengths),
            max_keys=max(num_keys),
            token_places=tensor(np.concatenate(token_places)),
            slot_places=tensor(np.concatenate(slot_places)),
            slots=tensor([slot for own in slots for slot in own]),
        )

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, layer_pool: Tensor, *, scaling: float
    ) -> Tensor:
        """Compute attention: tokens attend to their own request and its prefix.

        Args:
            query: `[T, H, D]`.
            key: `[T, H, D]`; H may be a divisor of that of the queries.
            value: as `key`.
            layer_pool: the layer's keys and values of all slots, `[2, C, H, D]`.
            scaling: factor of the scores.

        Returns:
            The attended values `[T, H, D]`.
        """
        attended: Tensor = self.kernel(
            query,
            self._behind_prefixes(key, layer_pool[0]),
            self._behind_prefixes(value, layer_pool[1]),
            self.cu_queries,
            self.cu_keys,
            self.max_queries,
            self.max_keys,
            scale=scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        return attended

    def _behind_prefixes(self, own: Tensor, pool: Tensor) -> Tensor:
        joined = own.new_empty(len(own) + len(self.slots), *own.shape[1:])
        joined = joined.index_copy(0, self.token_places, own)
        return joined.index_copy(0, self.slot_places, pool[self.slots].to(own.dtype))
