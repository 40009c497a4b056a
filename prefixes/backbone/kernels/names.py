"""The names of the kernels that a backbone runs with."""

from dataclasses import dataclass
from typing import Final

from prefixes.errors import BackboneUnavailable

AUTO: Final = "auto"
"""Measures the candidates and picks the fastest."""

TORCH: Final = "torch"
"""Plain PyTorch, the reference and fallback of the operations of a model."""

ONEDNN: Final = "onednn"
"""Weights that are packed once, multiplied by oneDNN."""

COMPILED: Final = "compiled"
"""The attention in `prefixes.backbone.native`."""

ONEDNN_COMPILED: Final = "onednn, compiled"
TORCH_COMPILED: Final = "torch, compiled"
"""Int8 products of oneDNN or PyTorch, with `prefixes.backbone.native` for rounding and scaling."""

LINEAR_KERNELS: Final = (TORCH, ONEDNN)
ATTENTION_KERNELS: Final = (TORCH, COMPILED)


@dataclass(frozen=True, slots=True)
class Kernels:
    """The kernels of a backbone's linear layers and of its attention, by name."""

    linear: str = TORCH
    attention: str = TORCH


PLAIN: Final = Kernels()


def check_kernels(linear: str, attention: str, quantize: str | None) -> None:
    """Check the names of kernels.

    Raises:
        BackboneUnavailable: when one does not exist, or a quantized backbone should use it.
    """
    for operation, name, known in (
        ("linear", linear, LINEAR_KERNELS),
        ("attention", attention, ATTENTION_KERNELS),
    ):
        if name not in {AUTO, *known}:
            raise BackboneUnavailable(
                f"Invalid {operation} kernel {name!r}: expected one of {', '.join((AUTO, *known))}"
            )
    if quantize is not None and linear == ONEDNN:
        raise BackboneUnavailable(
            f"A quantized backbone multiplies its linear layers in {quantize}, not with the kernel "
            f"{linear}: omit either quantize or the linear kernel"
        )
