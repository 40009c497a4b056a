"""Int8 linear layers of a frozen encoder on a CPU, with one scale per output and per token.

A scale per batch would be cheaper, but a request with large numbers would then reduce the precision
of the other requests.

Weights use all 8 bits, activations 7. Processors without VNNI add pairs of products in 16 bits,
which 255 * 127 * 2 exceeds and 127 * 127 * 2 does not. All processors therefore compute the same.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, MutableMapping
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.weak import WeakTensorKeyDictionary

from prefixes.backbone.kernels.names import ONEDNN
from prefixes.errors import BackboneUnavailable, UnsupportedBackbone

_HIGHEST: Final = 127
_SMALLEST_SCALE: Final = 1e-30
"""Keeps the scale above zero if all numbers are equal."""

_NUMBERS_AT_ONCE: Final = 2**19
"""How many numbers are rounded at once, so that they stay in the processor's cache."""

_FLOAT_PARTS: Final = ("embeddings", "pooler")
"""Modules that are not quantized; some embed in one size and project to another."""

Rounded = tuple[Tensor, Tensor, Tensor]
"""Codes `[T, I]` from 0 to 127 in uint8, scales `[T, 1]`, and minimums next to ones `[T, 2]`."""

Roundings = MutableMapping[Tensor, Rounded]
"""Rounded tensors by the identity of their source, as long as the source exists."""


class QuantizedLinear(nn.Module):
    """A linear layer `[..., I]` to `[..., O]` that multiplies in int8; it has no gradients.

    Layers that get the same tensor, such as those of query, key and value, may share `roundings`:
    the first one rounds, and the result is kept as long as the tensor exists. The tensor must not
    be modified between such layers.

    `kernel` multiplies the codes: `onednn` with a weight that is packed once, or `torch` with
    `torch._int_mm`. Both add the same integers, so their outputs are equal bit by bit.
    """

    def __init__(
        self, linear: nn.Linear, roundings: Roundings | None = None, kernel: str = ONEDNN
    ) -> None:
        super().__init__()
        self.kernel = kernel
        self._roundings = roundings
        weight = linear.weight.detach()  # (O, I)
        self.out_features = linear.out_features
        self._scales = weight.abs().amax(1).clamp_min(_SMALLEST_SCALE) / _HIGHEST
        codes = (weight / self._scales[:, None]).round().to(torch.int8)
        make = _PackedProduct if kernel == ONEDNN else _PlainProduct
        self._multiply: Callable[[Tensor], Tensor] = make(codes, self._scales)
        bias = weight.new_zeros(len(weight)) if linear.bias is None else linear.bias.detach()
        # The increase of each output if all inputs increase by one; and the bias.
        self._shifts = torch.stack((codes.float().sum(1) * self._scales, bias))  # (2, O)

    def forward(self, inputs: Tensor) -> Tensor:
        """Multiply. A number that is not finite affects only the outputs of its own token.

        Raises:
            UnsupportedBackbone: when the input requires a gradient.
        """
        if inputs.requires_grad:
            raise UnsupportedBackbone(
                "The backbone runs in int8, which does not support gradients: load it without "
                "quantize to train"
            )
        codes, scales, lows = self._rounding_of(inputs)
        products = self._multiply(codes)
        # token = scale * code + low, so that its output is scale * product + low * shift + bias.
        outputs = products.mul_(scales).addmm_(lows, self._shifts)
        return outputs.view(*inputs.shape[:-1], self.out_features)

    def _rounding_of(self, inputs: Tensor) -> Rounded:
        if self._roundings is None:
            return _rounded(inputs.reshape(-1, inputs.shape[-1]))
        found = self._roundings.get(inputs)
        if found is None:
            found = self._roundings[inputs] = _rounded(inputs.reshape(-1, inputs.shape[-1]))
        return found


class _PackedProduct:
    """Multiplies codes with a weight that oneDNN has packed once."""

    def __init__(self, weight: Tensor, scales: Tensor) -> None:
        self._packed = torch.ops.onednn.qlinear_prepack(weight, None)
        self._scales = scales
        self._zeros = torch.zeros(len(weight), dtype=torch.int64)

    def __call__(self, codes: Tensor) -> Tensor:
        products: Tensor = torch.ops.onednn.qlinear_pointwise(
            codes,
            1.0,  # scale and zero point of the tokens
            0,
            self._packed,
            self._scales,
            self._zeros,
            None,  # bias
            1.0,  # scale and zero point of the output, which is not quantized
            0,
            torch.float32,
            "none",
            [],
            "",
        )
        return products


class _PlainProduct:
    """Multiplies codes with `torch._int_mm`, whose codes are signed: those up to 127 are equal."""

    def __init__(self, weight: Tensor, scales: Tensor) -> None:
        self._weight = weight.t().contiguous()  # (I, O)
        self._scales = scales

    def __call__(self, codes: Tensor) -> Tensor:
        sums = torch._int_mm(codes.view(torch.int8), self._weight)  # noqa: SLF001 - no public name
        return sums.float().mul_(self._scales)


def _rounded(tokens: Tensor) -> Rounded:
    """Round T tokens `[T, I]` in parts that fit in the processor's cache."""
    rows = max(1, _NUMBERS_AT_ONCE // tokens.shape[1])
    parts = [_round(some) for some in torch.split(tokens, rows)]
    if len(parts) == 1:
        return parts[0]
    codes, scales, lows = (torch.cat(column) for column in zip(*parts, strict=True))
    return codes, scales, lows


def _round(tokens: Tensor) -> Rounded:
    low = tokens.amin(-1, keepdim=True)
    scales = tokens.amax(-1, keepdim=True).sub_(low).div_(_HIGHEST).clamp_min_(_SMALLEST_SCALE)
    # Adding half a step makes the conversion round, since it truncates. Converting to int8 is
    # several times as fast as to uint8.
    steps = (tokens - torch.sub(low, scales, alpha=0.5)).mul_(scales.reciprocal())
    codes = steps.to(torch.int8).view(torch.uint8)
    return codes, scales, functional.pad(low, (0, 1), value=1.0)


def quantized_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """Return the linear layers by name that run in int8: all but those of embeddings and pooler."""
    return {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and not name.startswith(_FLOAT_PARTS)
    }


def quantize_encoder(model: Any, kernel: str = ONEDNN) -> None:
    """Replace all linear layers of the encoder, except in embeddings and pooler, with int8 layers.

    Raises:
        BackboneUnavailable: when torch on this machine does not multiply int8 exactly.
    """
    check_arithmetic(kernel)
    layers = [
        (*name.rpartition(".")[::2], layer) for name, layer in quantized_layers(model).items()
    ]
    siblings = Counter((parent, layer.in_features) for parent, _, layer in layers)
    shared: defaultdict[tuple[str, int], Roundings] = defaultdict(WeakTensorKeyDictionary)
    for parent, child, layer in layers:
        kind = (parent, layer.in_features)
        roundings = shared[kind] if siblings[kind] > 1 else None
        setattr(model.get_submodule(parent), child, QuantizedLinear(layer, roundings, kernel))


def check_arithmetic(kernel: str = ONEDNN) -> None:
    """Multiply the largest codes, since their sums would overflow first."""
    linear = nn.Linear(64, 2)
    with torch.no_grad():
        linear.weight.fill_(1.0)
        linear.bias.zero_()
        token = torch.ones(1, 64)
        token[0, 0] = 0.0  # the minimum; all others become 127
        try:
            found = float(QuantizedLinear(linear, kernel=kernel)(token)[0, 0])
        except (AttributeError, RuntimeError) as error:
            reason = str(error).partition("\n")[0]
            raise BackboneUnavailable(
                f"torch on this machine has no int8 layers: run without quantize; {reason}"
            ) from error
    if abs(found - 63) > 1e-3:
        raise BackboneUnavailable(
            "This machine multiplies int8 wrongly: expected 63 from a layer of ones, found "
            f"{found:.6g}; run without quantize"
        )
