"""The number type of a backbone: the requested one, or the fastest on the device."""

from functools import partial
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from prefixes.backbone.kernels.contest import Call, Candidate, Contest, Workload
from prefixes.backbone.kernels.names import AUTO
from prefixes.errors import BackboneUnavailable

DTYPES: Final = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
QUANTIZATIONS: Final = ("int8",)

_MIN_SPEEDUP: Final = 1.2
"""Minimum speedup over float32 for which a lower precision is chosen."""

_TOKENS: Final = {"cpu": 128, "cuda": 4096, "mps": 4096}
_SECONDS: Final = 0.5


def check_precision(device: torch.device, dtype: str, quantize: str | None) -> None:
    """Check that a backbone can run with these settings.

    Raises:
        BackboneUnavailable: when it cannot.
    """
    if dtype != AUTO and dtype not in DTYPES:
        raise BackboneUnavailable(
            f"Invalid dtype {dtype!r}: expected one of {', '.join((AUTO, *DTYPES))}"
        )
    if quantize is None:
        return
    if quantize not in QUANTIZATIONS:
        raise BackboneUnavailable(
            f"Invalid quantization {quantize!r}: expected {', '.join(QUANTIZATIONS)}"
        )
    if device.type != "cpu":
        raise BackboneUnavailable(
            f"Quantization needs a CPU, the device is {device}: choose device cpu, or dtype "
            "bfloat16 on this device"
        )
    if dtype not in {AUTO, "float32"}:
        raise BackboneUnavailable(
            f"A quantized backbone computes all but its linear layers in float32, not in {dtype}: "
            "omit either dtype or quantize"
        )


def dtype_contest(model: nn.Module, device: torch.device, *, to_train: bool) -> Contest:
    """Compare number types by multiplying tokens with the largest linear layer of a model.

    For training, float16 is excluded, since gradients would underflow.
    """
    largest = max(
        (layer for layer in model.modules() if isinstance(layer, nn.Linear)),
        key=lambda layer: layer.weight.numel(),
    )
    weight, num_tokens = largest.weight.detach(), _TOKENS[device.type]
    return Contest(
        "dtype",
        [Workload(f"{num_tokens} tokens")],
        [
            Candidate(dtype_name(kind), partial(_calls, weight, kind, num_tokens))
            for kind in _candidates(device, to_train=to_train)
        ],
        tolerance=float("inf"),
        seconds=_SECONDS,
        min_speedup=_MIN_SPEEDUP,
    )


def _candidates(device: torch.device, *, to_train: bool) -> tuple[torch.dtype, ...]:
    if device.type == "mps":  # which types it computes correctly has not been tested
        return (torch.float32,)
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return (torch.float32,) if to_train else (torch.float32, torch.float16)
    return (torch.float32, torch.bfloat16)


def _calls(weight: Tensor, kind: torch.dtype, num_tokens: int) -> list[Call]:
    ours = weight.to(kind)
    tokens = torch.ones(num_tokens, weight.shape[1], dtype=kind, device=weight.device)

    def call() -> list[Tensor]:
        return [functional.linear(tokens, ours)]

    return [call]


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name of a number type in settings."""
    return str(dtype).removeprefix("torch.")
