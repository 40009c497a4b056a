"""The names of the kernels that a backbone runs with."""

import sys
from collections.abc import Mapping
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

LONGEST_COMPILED: Final[Mapping[str, int]] = {
    TORCH: 0,
    COMPILED: sys.maxsize,
    "compiled-64": 64,
    "compiled-128": 128,
}
"""The longest texts, in tokens, that each attention kernel leaves to the compiled attention. Plain
PyTorch computes longer ones: on a processor with fast matrix products, it is faster for these."""

ONEDNN_COMPILED: Final = "onednn, compiled"
TORCH_COMPILED: Final = "torch, compiled"
"""Int8 products of oneDNN or PyTorch, with `prefixes.backbone.native` for rounding and scaling."""

LINEAR_KERNELS: Final = (TORCH, ONEDNN)
ATTENTION_KERNELS: Final = tuple(LONGEST_COMPILED)


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
