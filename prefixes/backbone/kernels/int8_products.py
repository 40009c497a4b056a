"""The arithmetic of int8 layers: tokens are rounded, multiplied as integers, and scaled.

Weights use all 8 bits, activations 7. Processors without VNNI add pairs of products in 16 bits,
which 255 * 127 * 2 exceeds and 127 * 127 * 2 does not. All processors therefore compute the same
sums.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from prefixes.backbone.kernels.names import (
    ONEDNN,
    ONEDNN_COMPILED,
    TORCH,
    TORCH_COMPILED,
)

HIGHEST_CODE: Final = 127
SMALLEST_SCALE: Final = 1e-30
"""Keeps the scale above zero if all numbers are equal."""

_NUMBERS_AT_ONCE: Final = 2**19
"""How many numbers are rounded at once, so that they stay in the processor's cache."""


class Rounded(NamedTuple):
    """T rounded tokens: number = scale * code + low."""

    codes: Tensor
    """`[T, I]`, from 0 to 127, in uint8."""

    scales: Tensor
    """`[T]`"""

    lows: Tensor
    """`[T]`, the smallest number of each token."""


@dataclass(frozen=True, slots=True, eq=False)
class RoundedWeight:
    """The weight of a layer from I inputs to O outputs: number = scale * code."""

    codes: Tensor
    """`[O, I]`, from -127 to 127, in int8."""

    scales: Tensor
    """`[O]`"""

    bias: Tensor
    """`[O]`, not rounded."""

    @property
    def shifts(self) -> Tensor:
        """The increase of each output if all inputs increase by one, `[O]`."""
        return self.codes.float().sum(1) * self.scales


_Multiply = Callable[[Tensor], Tensor]
"""Multiplies codes `[T, I]` in uint8 with the codes of a weight."""


class Arithmetic(Protocol):
    """Rounding of tokens, and the outputs of a layer for rounded tokens."""

    def round(self, tokens: Tensor) -> Rounded:
        """Round tokens `[T, I]`."""
        ...

    def outputs(self, tokens: Rounded) -> Tensor:
        """Return the outputs `[T, O]` of rounded tokens."""
        ...


class PlainArithmetic:
    """Rounding and scaling in plain PyTorch, around a product of codes."""

    def __init__(self, weight: RoundedWeight, multiply: _Multiply) -> None:
        self._multiply = multiply
        self._shifts = torch.stack((weight.shifts, weight.bias))  # (2, O)

    def round(self, tokens: Tensor) -> Rounded:
        """Round tokens `[T, I]` in parts that fit in the processor's cache."""
        rows = max(1, _NUMBERS_AT_ONCE // tokens.shape[1])
        parts = [_round(some) for some in torch.split(tokens, rows)]
        if len(parts) == 1:
            return parts[0]
        return Rounded(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def outputs(self, tokens: Rounded) -> Tensor:
        """Return the outputs `[T, O]` of rounded tokens."""
        products = self._multiply(tokens.codes).mul_(tokens.scales[:, None])
        # Minimums next to ones, which are multiplied with the shifts and the bias.
        lows = functional.pad(tokens.lows[:, None], (0, 1), value=1.0)
        return products.addmm_(lows, self._shifts)


class CompiledArithmetic:
    """The same with one pass over the memory each, from `prefixes.backbone.native`.

    The codes are equal to those of plain PyTorch bit by bit. The outputs differ by the rounding of
    one sum.
    """

    def __init__(self, weight: RoundedWeight, multiply: _Multiply) -> None:
        self._multiply = multiply
        self._of_weight = (weight.scales, weight.shifts, weight.bias)

    def round(self, tokens: Tensor) -> Rounded:
        return Rounded(*torch.ops.polyprefix.round_rows(tokens.contiguous()))

    def outputs(self, tokens: Rounded) -> Tensor:
        sums = self._multiply(tokens.codes)
        torch.ops.polyprefix.scale_rows_(sums, tokens.scales, tokens.lows, *self._of_weight)
        return sums.view(torch.float32)


def _round(tokens: Tensor) -> Rounded:
    low = tokens.amin(-1, keepdim=True)
    scales = tokens.amax(-1, keepdim=True).sub_(low).div_(HIGHEST_CODE).clamp_min_(SMALLEST_SCALE)
    # Adding half a step makes the conversion round, since it truncates. Converting to int8 is
    # several times as fast as to uint8.
    steps = (tokens - torch.sub(low, scales, alpha=0.5)).mul_(scales.reciprocal())
    return Rounded(steps.to(torch.int8).view(torch.uint8), scales[:, 0], low[:, 0])


def _packed_product(codes: Tensor, scales: Tensor) -> _Multiply:
    """Pack a weight once for oneDNN; the product is float32, times the scales `[O]`."""
    packed = torch.ops.onednn.qlinear_prepack(codes, None)
    zeros = torch.zeros(len(codes), dtype=torch.int64)

    def multiply(tokens: Tensor) -> Tensor:
        products: Tensor = torch.ops.onednn.qlinear_pointwise(
            tokens,
            1.0,  # scale and zero point of the tokens
            0,
            packed,
            scales,
            zeros,
            None,  # bias
            1.0,  # scale and zero point of the output, which is not quantized
            0,
            torch.float32,
            "none",
            [],
            "",
        )
        return products

    return multiply


def _integer_product(codes: Tensor) -> _Multiply:
    """Use `torch._int_mm`, whose codes are signed: those up to 127 are equal. It returns int32."""
    weight = codes.t().contiguous()  # (I, O)
    return lambda tokens: torch._int_mm(tokens.view(torch.int8), weight)  # noqa: SLF001 - no public name


def _with_onednn(weight: RoundedWeight) -> Arithmetic:
    return PlainArithmetic(weight, _packed_product(weight.codes, weight.scales))


def _with_torch(weight: RoundedWeight) -> Arithmetic:
    multiply, scales = _integer_product(weight.codes), weight.scales
    return PlainArithmetic(weight, lambda tokens: multiply(tokens).float().mul_(scales))


def _compiled(product: Callable[[Tensor], _Multiply], weight: RoundedWeight) -> Arithmetic:
    return CompiledArithmetic(weight, product(weight.codes))


def _plain_packed_product(codes: Tensor) -> _Multiply:
    return _packed_product(codes, torch.ones(len(codes)))


ARITHMETICS: Final[Mapping[str, Callable[[RoundedWeight], Arithmetic]]] = {
    ONEDNN: _with_onednn,
    TORCH: _with_torch,
    ONEDNN_COMPILED: partial(_compiled, _plain_packed_product),
    TORCH_COMPILED: partial(_compiled, _integer_product),
}
"""The int8 kernels by name. All add the same integers."""
