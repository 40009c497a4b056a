"""Int8 linear layers of a frozen encoder on a CPU, with one scale per output and per token.

A scale per batch would be cheaper, but a request with large numbers would then reduce the precision
of the other requests.
"""

from collections import Counter, defaultdict
from collections.abc import MutableMapping
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from prefixes.backbone.kernels.int8_products import (
    ARITHMETICS,
    HIGHEST_CODE,
    SMALLEST_SCALE,
    Rounded,
    RoundedWeight,
)
from prefixes.backbone.kernels.names import ONEDNN
from prefixes.errors import BackboneUnavailable, UnsupportedBackbone

_FLOAT_PARTS: Final = ("embeddings", "pooler")
"""Modules that are not quantized; some embed in one size and project to another."""

Roundings = MutableMapping[Tensor, Rounded]
"""Rounded tensors by the identity of their source, as long as the source exists."""


class QuantizedLinear(nn.Module):
    """A linear layer `[..., I]` to `[..., O]` that multiplies in int8; it has no gradients.

    Layers that get the same tensor, such as those of query, key and value, may share `roundings`:
    the first one rounds, and the result is kept as long as the tensor exists. The tensor must not
    be modified between such layers.

    `kernel` is a name in `ARITHMETICS`.
    """

    def __init__(
        self, linear: nn.Linear, roundings: Roundings | None = None, kernel: str = ONEDNN
    ) -> None:
        super().__init__()
        self.kernel = kernel
        self._roundings = roundings
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self._arithmetic = ARITHMETICS[kernel](rounded_weight(linear))

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
        outputs = self._arithmetic.outputs(self._rounding_of(inputs))
        return outputs.view(*inputs.shape[:-1], self.out_features)

    def _rounding_of(self, inputs: Tensor) -> Rounded:
        found = None if self._roundings is None else self._roundings.get(inputs)
        if found is None:
            found = self._arithmetic.round(inputs.reshape(-1, inputs.shape[-1]))
            if self._roundings is not None:
                self._roundings[inputs] = found
        return found


def rounded_weight(linear: nn.Linear) -> RoundedWeight:
    """Round the weight of a layer, with one scale for each output."""
    weight = linear.weight.detach()  # (O, I)
    scales = weight.abs().amax(1).clamp_min(SMALLEST_SCALE) / HIGHEST_CODE
    codes = (weight / scales[:, None]).round().to(torch.int8)
    bias = weight.new_zeros(len(weight)) if linear.bias is None else linear.bias.detach()
    return RoundedWeight(codes, scales, bias)


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
