"""Which number type a backbone runs in: what was asked for, or what the device does well."""

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
"""A lower precision must be at least so many times as fast as float32 to be taken."""

_TOKENS: Final = {"cpu": 128, "cuda": 4096}
_ROUNDS: Final = 7
_SECONDS: Final = 0.5

_log = logging.getLogger(__name__)


def check_precision(device: torch.device, dtype: str, quantize: str | None) -> None:
    """Find out whether a backbone can be asked to run like this.

    Raises:
        BackboneUnavailable: naming what was asked for, and what there is.
    """
    if dtype != AUTO and dtype not in DTYPES:
        raise BackboneUnavailable(
            f"A backbone does not run in {dtype!r}: expected one of {', '.join((AUTO, *DTYPES))}"
        )
    if quantize is None:
        return
    if quantize not in QUANTIZATIONS:
        raise BackboneUnavailable(
            f"A backbone is not quantized to {quantize!r}: expected {', '.join(QUANTIZATIONS)}"
        )
    if device.type != "cpu":
        raise BackboneUnavailable(
            f"A backbone is quantized on a CPU only, this device is {device}: choose device cpu, "
            "or bfloat16 on this device"
        )
    if dtype not in {AUTO, "float32"}:
        raise BackboneUnavailable(
            f"A quantized backbone computes all but its linear layers in float32, not in {dtype}: "
            "leave out one of dtype and quantize"
        )


def find_dtype(
    model: nn.Module, device: torch.device, dtype: str, *, to_train: bool = False
) -> torch.dtype:
    """Give the number type of a name; for `auto`, measure what this device does well.

    It multiplies tokens with the largest linear layer of the model, for at most about a second.
    float32 wins unless another is 1.2 times as fast. float16 is no choice for training, whose
    gradients would vanish in it.
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
        "the backbone runs in %s on %s: %d tokens through its layer of %s took %s",
        *(dtype_name(chosen), device, _TOKENS[device.type], shape, figures),
    )
    return chosen


def choose(seconds: dict[torch.dtype, float]) -> torch.dtype:
    """Take the fastest type, but float32 unless that is slower by a clear margin."""
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
    """Take the shortest of several turns, the types by turns: other programs disturb all alike."""
    calls: dict[torch.dtype, Any] = {}
    for kind in kinds:
        ours = weight.detach().to(device, kind)
        tokens = torch.ones(_TOKENS[device.type], weight.shape[1], dtype=kind, device=device)
        calls[kind] = partial(functional.linear, tokens, ours)
    seconds = dict.fromkeys(kinds, float("inf"))
    end = time.perf_counter() + _SECONDS
    with torch.inference_mode():
        for call in calls.values():
            _seconds_of(call, device)  # the first sets things up
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
    """Name a number type as settings do."""
    return str(dtype).removeprefix("torch.")
