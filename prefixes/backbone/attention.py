"""Prefix attention over a packed batch.

The queries of a request attend to its own prefix and its own tokens, never to those of another
request. Prefix keys and values are inserted after the projections and have no position (P-tuning
v2, `get_prompt`; PEFT prefix tuning).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from prefixes.backbone.dropout import DropoutDraws
from prefixes.backbone.group_attention import RelativeScores, attend_group
from prefixes.backbone.grouping import TextSlots
from prefixes.backbone.hooks import NUM_NORMS
from prefixes.backbone.native.operator import attend_compiled
from prefixes.backbone.packing import PackedBatch
from prefixes.backbone.varlen import HALF

ATTENTION: Final = "polyprefix_packed"


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
    draws: DropoutDraws | None = field(init=False)

    def __post_init__(self) -> None:
        dropout = self.packed.dropout
        self.draws = None if dropout is None else dropout.start(self.prefix_pool.device)

    def drop(self, hidden: Tensor) -> Tensor:
        """Drop hidden units `[..., T, E]` of the rows that have dropout."""
        return hidden if self.draws is None else self.draws.drop(hidden)

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
        parts = self.packed.parts
        tensors = (_split(x, [part.num_tokens for part in parts]) for x in (query, key, value))
        outputs = []
        for part, q, k, v in zip(parts, *tensors, strict=True):
            if isinstance(part, TextSlots):
                assert relative_scores is None
                assert not dropout
                outputs.append(
                    attend_compiled(q, k, v, layer_pool, part, scaling=scaling, window=window)
                )
            else:
                attended = attend_group(
                    part,
                    q,
                    k,
                    v,
                    layer_pool,
                    scaling=scaling,
                    dropout=dropout,
                    window=window,
                    relative_scores=relative_scores,
                )
                outputs.append(attended)
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


def _split(values: Tensor, sizes: Sequence[int]) -> Sequence[Tensor]:
    """Split values of the tokens; not if there is one part, whose gradient need not be copied."""
    return (values,) if len(sizes) == 1 else torch.split(values, list(sizes))


AttentionInterface.register(ATTENTION, packed_attention)
