"""The compiled attention and vectors as functions of tensors."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from prefixes.backbone.grouping import TextSlots
from prefixes.backbone.native.library import COMMAND, is_compiled


def attend_compiled(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    pool: Tensor,
    texts: TextSlots,
    *,
    scaling: float,
    window: int | None = None,
) -> Tensor:
    """Compute attention: the T tokens of N texts attend to their own text and its prefix.

    A text's result depends on nothing but the text and its prefix: not on the rest of the batch,
    nor on the number of threads.

    Args:
        query: `[T, H, D]` in float32 or bfloat16.
        key: `[T, H, D]`; H may be a divisor of that of the queries, which then share keys.
        value: as `key`.
        pool: keys and values of all prefix slots, `[2, C, H, D]`.
        texts: the tokens of each text, and the slots of its prefix.
        scaling: factor of the scores.
        window: tokens attend to each other if their distance is smaller.

    Returns:
        The attended values `[T, H, D]`.

    Raises:
        RuntimeError: when the attention is not compiled, or a tensor does not fit.
    """
    _check_compiled()
    tensors = (query, key, value, pool)
    layout = (texts.bounds, texts.slot_bounds, texts.slots, scaling, window)
    if torch.is_grad_enabled() and any(x.requires_grad for x in tensors):
        outputs: Tensor = _Attention.apply(*tensors, *layout)  # type: ignore[no-untyped-call]
        return outputs
    attended: Tensor = torch.ops.polyprefix.prefix_attention(*tensors, *layout)
    return attended


def modulate_compiled(tokens: Tensor, pool: Tensor, texts: TextSlots) -> None:
    """Change the T tokens of N texts by the vectors of their text, in place.

    A token y becomes `y (1 + s) + t + U D y`, computed in float32. There are no gradients.

    Args:
        tokens: `[T, hidden]` in float32 or bfloat16.
        pool: vectors in all slots, `[C, H, D]`.
        texts: the tokens of each text, and the slots of its vectors: the scales s and the rows of
            D in the first half of these, the shifts t and the columns of U in the second. The
            number of slots determines the rank, at most 64. A text may have none.

    Raises:
        RuntimeError: when the operator is not compiled, or a tensor does not fit.
    """
    _check_compiled()
    torch.ops.polyprefix.modulate_(tokens, pool, texts.bounds, texts.slot_bounds, texts.slots)


def _check_compiled() -> None:
    if not is_compiled():
        raise RuntimeError(f"the operators are not compiled: run {COMMAND}")


class _Attention(torch.autograd.Function):
    """Attention with gradients for queries, keys, values and the pool.

    It keeps no scores. The backward pass computes them again, in float32.
    """

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        tensors, layout = inputs[:4], inputs[4:]
        attended: Tensor = torch.ops.polyprefix.prefix_attention(*tensors, *layout)
        ctx.save_for_backward(*tensors, attended, *layout[:3])
        ctx.options = layout[3:]
        return attended

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        if gradient.stride(-1) != 1:  # such as that of a sum, which repeats one number
            gradient = gradient.contiguous()
        *of_tokens, of_pool = torch.ops.polyprefix.prefix_attention_backward(
            gradient, *inputs, *ctx.options
        )
        return (*of_tokens, of_pool.to(inputs[3].dtype), None, None, None, None, None)
