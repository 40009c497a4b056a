"""The contest of the kernels for linear layers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Final

import torch
from torch import Tensor, nn

from prefixes.backbone.kernels.contest import Call, Candidate, Contest, Workload
from prefixes.backbone.kernels.names import ONEDNN, ONEDNN_COMPILED, TORCH, TORCH_COMPILED
from prefixes.backbone.kernels.packed_linear import PackedLinear, linear_layers
from prefixes.backbone.kernels.quantized_linear import QuantizedLinear, quantized_layers
from prefixes.backbone.native.library import is_compiled

_TOKENS: Final = (16, 128, 256)
"""Numbers of tokens: one short text, a small batch, and one nearly as efficient as any larger."""

_SHORT: Final = _TOKENS[0]

_MAX_WEIGHTS: Final = 2**24
"""Weights that a short text is multiplied with, in 64 MiB of float32. Reading them from memory is
most of its work. Fewer would stay in the processor's cache from one call to the next, as they do
not in a whole pass."""

_SECONDS: Final = 1.0
_MIN_WEIGHTS: Final = 1_000_000
"""Smaller models spend their time in calls, not in products: measuring them shows only noise."""

_TOLERANCES: Final = {torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}
"""Some units in the last place of a result, relative to the largest one."""

_INT8_TOLERANCE: Final = 1e-5
"""The kernels differ by the rounding of the last sum."""

_Layer = Callable[[Tensor], Tensor]
_Maker = Callable[[nn.Linear], _Layer]
"""Makes the layer of a candidate from a plain one."""

_Run = Callable[[Sequence[_Layer], Sequence[Tensor]], Sequence[Tensor]]


def is_worth_measuring(model: nn.Module) -> bool:
    """Return whether a model is large enough for a choice between kernels to matter."""
    layers = [x for x in model.modules() if isinstance(x, (nn.Linear, QuantizedLinear))]
    return sum(x.in_features * x.out_features for x in layers) >= _MIN_WEIGHTS


def linear_contest(model: nn.Module, device: torch.device, *, to_train: bool) -> Contest:
    """Compare plain with packed linear layers, on the first layers of a model.

    For training, each call includes the gradient of the input.
    """
    layers = list(linear_layers(model).values())
    makers: dict[str, _Maker] = {TORCH: lambda layer: layer}
    if device.type == "cpu":
        makers[ONEDNN] = PackedLinear
    tolerance = _TOLERANCES[layers[0].weight.dtype]
    run = _forward_and_backward if to_train else _forward
    return _contest("linear", layers, makers, run, tolerance)


def int8_contest(model: nn.Module) -> Contest:
    """Compare the kernels for int8 layers, which all add the same integers.

    Without VNNI, `torch._int_mm` takes 20 to 350 times as long, too long to be measured at startup.
    """
    names = [ONEDNN, *([ONEDNN_COMPILED] if is_compiled() else [])]
    if torch.cpu._is_vnni_supported():  # noqa: SLF001
        names += [TORCH, *([TORCH_COMPILED] if is_compiled() else [])]
    makers = {name: partial(QuantizedLinear, kernel=name) for name in names}
    layers = list(quantized_layers(model).values())
    return _contest("int8", layers, makers, _forward, _INT8_TOLERANCE)


def _contest(
    operation: str,
    layers: Sequence[nn.Linear],
    makers: Mapping[str, _Maker],
    run: _Run,
    tolerance: float,
) -> Contest:
    workloads = _workloads(layers)
    some = layers[: max(workload.num_layers for workload in workloads)]
    return Contest(
        operation,
        [workload.workload for workload in workloads],
        [
            Candidate(name, partial(_calls, make, some, workloads, run))
            for name, make in makers.items()
        ],
        tolerance=tolerance,
        seconds=_SECONDS,
    )


@dataclass(frozen=True, slots=True)
class _LinearWorkload:
    """A number of tokens, and with how many of the model's layers they are multiplied."""

    workload: Workload
    num_tokens: int
    num_layers: int


def _workloads(layers: Sequence[nn.Linear]) -> list[_LinearWorkload]:
    """Return the workloads: a lone text uses all threads, batches at the same time one or a few."""
    sizes = [*((num_tokens, 1) for num_tokens in _TOKENS), (_SHORT, torch.get_num_threads())]
    few, many = _num_with_all_shapes(layers), _num_within(layers, _MAX_WEIGHTS)
    return [
        _LinearWorkload(
            Workload(f"{num_tokens} tokens on {num} thread{'s' * (num > 1)}", num),
            num_tokens,
            max(few, many) if num_tokens == _SHORT else few,
        )
        for num_tokens, num in dict.fromkeys(sizes)
    ]


def _num_with_all_shapes(layers: Sequence[nn.Linear]) -> int:
    """Return how many of the first layers contain all shapes: normally those of one block."""
    shapes = [layer.weight.shape for layer in layers]
    return max(map(shapes.index, shapes)) + 1


def _num_within(layers: Sequence[nn.Linear], max_weights: int) -> int:
    """Return how many of the first layers have at most that many weights."""
    totals = accumulate(layer.weight.numel() for layer in layers)
    return sum(total <= max_weights for total in totals)


def _calls(
    make: _Maker, layers: Sequence[nn.Linear], workloads: Sequence[_LinearWorkload], run: _Run
) -> list[Call]:
    made = [make(layer) for layer in layers]
    calls: list[Call] = []
    for workload in workloads:
        inputs = _inputs(layers[: workload.num_layers], workload.num_tokens)
        calls.append(partial(run, made[: workload.num_layers], inputs))
    return calls


def _inputs(layers: Sequence[nn.Linear], num_tokens: int) -> list[Tensor]:
    """Make inputs, the same ones for all candidates, without torch's global random numbers."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(num_tokens, layer.in_features, generator=generator).to(layer.weight)
        for layer in layers
    ]


def _forward(layers: Sequence[_Layer], inputs: Sequence[Tensor]) -> list[Tensor]:
    with torch.no_grad():
        return [layer(tokens) for layer, tokens in zip(layers, inputs, strict=True)]


def _forward_and_backward(layers: Sequence[_Layer], inputs: Sequence[Tensor]) -> list[Tensor]:
    results = []
    with torch.enable_grad():
        for layer, tokens in zip(layers, inputs, strict=True):
            learned = tokens.detach().requires_grad_()
            outputs = layer(learned)
            (gradient,) = torch.autograd.grad(outputs, learned, outputs.detach())
            results += [outputs.detach(), gradient]
    return results
