"""The number type of a backbone: the requested one, or the fastest on the device."""

import logging
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from prefixes.errors import BackboneUnavailable

AUTO: Final = "auto"
DTYPES: Final = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
QUANTIZATIONS: Final = ("int8",)

_WORTH_IT: Final = 1.2
"""Minimum speedup over float32 for which a lower precision is chosen."""

_TOKENS: Final = {"cpu": 128, "cuda": 4096}
_ROUNDS: Final = 7
_SECONDS: Final = 0.5

_log = logging.getLogger(__name__)


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


def find_dtype(
    model: nn.Module, device: torch.device, dtype: str, *, to_train: bool = False
) -> torch.dtype:
    """Return the number type of a name. For `auto`, benchmark the device.

    The benchmark multiplies tokens with the largest linear layer of the model, for at most about a
    second. It chooses float32 unless another type is 1.2 times as fast. For training, float16 is
    excluded, since gradients would underflow.
    """
    if dtype != AUTO:
        return DTYPES[dtype]
    largest = max(
        (layer for layer in model.modules() if isinstance(layer, nn.Linear)),
        key=lambda layer: layer.weight.numel(),
    )
    seconds = _measure(largest.weight, device, _candidates(device, to_train=to_train))
    chosen = choose(seconds)
    figures = ", ".join(
        f"{dtype_name(kind)} {value * 1000:.3g} ms" for kind, value in seconds.items()
    )
    shape = "x".join(map(str, largest.weight.shape))
    _log.info(
        "the backbone runs in %s on %s: multiplying %d tokens with its layer of %s took %s",
        *(dtype_name(chosen), device, _TOKENS[device.type], shape, figures),
    )
    return chosen


def choose(seconds: dict[torch.dtype, float]) -> torch.dtype:
    """Choose the fastest type, or float32 unless it is slower by a clear margin."""
    fastest = min(seconds, key=seconds.__getitem__)
    is_worth_it = seconds[torch.float32] >= _WORTH_IT * seconds[fastest]
    return fastest if is_worth_it else torch.float32


def _candidates(device: torch.device, *, to_train: bool) -> tuple[torch.dtype, ...]:
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return (torch.float32,) if to_train else (torch.float32, torch.float16)
    return (torch.float32, torch.bfloat16)


def _measure(
    weight: Tensor, device: torch.device, kinds: Sequence[torch.dtype]
) -> dict[torch.dtype, float]:
    """Return the shortest of several times per type.

    The types alternate, so that other programs disturb all of them equally.
    """
    calls: dict[torch.dtype, Any] = {}
    for kind in kinds:
        ours = weight.detach().to(device, kind)
        tokens = torch.ones(_TOKENS[device.type], weight.shape[1], dtype=kind, device=device)
        calls[kind] = partial(functional.linear, tokens, ours)
    seconds = dict.fromkeys(kinds, float("inf"))
    end = time.perf_counter() + _SECONDS
    with torch.inference_mode():
        for call in calls.values():
            _seconds_of(call, device)  # the first call includes setup
        for _ in range(_ROUNDS):
            for kind, call in calls.items():
                seconds[kind] = min(seconds[kind], _seconds_of(call, device))
            if time.perf_counter() > end:
                break
    return seconds


def _seconds_of(call: Any, device: torch.device) -> float:
    started = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name of a number type in settings."""
    return str(dtype).removeprefix("torch.")
