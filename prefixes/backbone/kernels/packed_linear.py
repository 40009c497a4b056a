"""PackedLinear: a frozen linear layer whose weight is packed once for oneDNN.

`torch.nn.functional.linear` passes float32 products to MKL, and reorders the weight at every call
in bfloat16.
"""

from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_NOT_REPLACED: Final = "pooler"
"""It runs once for each text, so it would add one kernel for each number of texts."""


class PackedLinear(nn.Module):
    """A linear layer `[..., I]` to `[..., O]` with a gradient for its input only.

    oneDNN compiles a kernel for each new number of tokens, which takes about a millisecond, and
    caches the kernels.
    """

    def __init__(self, linear: nn.Linear) -> None:
        """Pack a layer. It keeps no reference to the dense weight.

        Raises:
            RuntimeError: when the processor does not support the number type.
            AttributeError: when torch was built without oneDNN.
        """
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.bias = linear.bias
        self._packed = _pack(linear.weight.detach())
        self._transposed: Tensor | None = None

    @property
    def weight(self) -> Tensor:
        """A new dense copy of the weight `[O, I]`."""
        return self._packed.to_dense()

    def forward(self, inputs: Tensor) -> Tensor:
        if inputs.requires_grad and torch.is_grad_enabled():
            outputs: Tensor = _FrozenProduct.apply(inputs, self)  # type: ignore[no-untyped-call]
            return outputs
        return _multiply(inputs, self._packed, self.bias)

    def backward(self, gradient: Tensor) -> Tensor:
        """Return the gradient of the input. The first call packs the transposed weight."""
        transposed = self._transposed
        if transposed is None:
            transposed = self._transposed = _pack(self.weight.t().contiguous())
        return _multiply(gradient, transposed, None)

    def _save_to_state_dict(
        self,
        destination: dict[str, Any],
        prefix: str,
        keep_vars: bool,  # noqa: FBT001 - as torch calls it
    ) -> None:
        """Save the dense weight, so that the layer looks like the one that it replaces."""
        destination[f"{prefix}weight"] = self.weight
        super()._save_to_state_dict(destination, prefix, keep_vars)


class _FrozenProduct(torch.autograd.Function):
    """The product with a frozen weight, which needs no tensor for its gradient."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, layer: PackedLinear) -> Tensor:
        ctx.layer = layer
        return layer.forward(inputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.layer.backward(gradient), None


def _pack(weight: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight)  # noqa: SLF001 - no public name
    return packed


def _multiply(inputs: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    products: Tensor = torch.ops.mkldnn._linear_pointwise(  # noqa: SLF001 - no public name
        inputs, packed, bias, "none", [], ""
    )
    return products


def pack_linear_layers(model: nn.Module) -> None:
    """Replace all linear layers of a model, except in its pooler.

    The other parameters are copied. They are parts of one mapping of the model's file, which would
    otherwise keep the pages of the dense weights in memory.
    """
    layers = linear_layers(model)
    for name in list(layers):
        parent, _, child = name.rpartition(".")
        # Frees each dense weight before the next layer is packed.
        setattr(model.get_submodule(parent), child, PackedLinear(layers.pop(name)))
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()


def linear_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """Return a model's linear layers by name, except in its pooler.

    Subclasses of `nn.Linear` may compute something else.
    """
    return {
        name: layer
        for name, layer in model.named_modules()
        if type(layer) is nn.Linear and not name.startswith(_NOT_REPLACED)
    }
