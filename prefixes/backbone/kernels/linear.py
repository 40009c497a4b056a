"""The contest of the kernels for linear layers."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import torch
from torch import Tensor, nn

from prefixes.backbone.kernels.contest import Call, Candidate, Contest, Workload
from prefixes.backbone.kernels.names import ONEDNN, TORCH
from prefixes.backbone.kernels.packed_linear import PackedLinear, linear_layers

_SHORT, _TYPICAL, _FULL = 16, 128, 512
"""Numbers of tokens: one short text, a small batch, and one that is as efficient as any larger."""

_SECONDS: Final = 0.8
_MIN_WEIGHTS: Final = 1_000_000
"""Smaller models spend their time in calls, not in products: measuring them shows only noise."""

_TOLERANCES: Final = {torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}
"""Some units in the last place of a result, relative to the largest one."""


def is_worth_measuring(model: nn.Module) -> bool:
    """Return whether a model is large enough for a choice between kernels to matter."""
    return sum(x.weight.numel() for x in linear_layers(model).values()) >= _MIN_WEIGHTS


def linear_contest(model: nn.Module, device: torch.device, *, to_train: bool) -> Contest:
    """Compare plain with packed linear layers, on one layer of each shape in a model.

    For training, each call includes the gradient of the input.
    """
    layers = _one_of_each_shape(model)
    workloads = _workloads()
    candidates = [Candidate(TORCH, partial(_calls, layers, workloads, to_train=to_train))]
    if device.type == "cpu":
        pack = partial(_packed_calls, layers, workloads, to_train=to_train)
        candidates.append(Candidate(ONEDNN, pack))
    return Contest(
        "linear",
        [workload for workload, _ in workloads],
        candidates,
        tolerance=_TOLERANCES[layers[0].weight.dtype],
        seconds=_SECONDS,
    )


def _workloads() -> list[tuple[Workload, int]]:
    """Return workloads and their numbers of tokens.

    A lone text uses all threads. Batches that run at the same time use one or a few each.
    """
    workloads = [(Workload(f"{n} tokens on 1 thread", 1), n) for n in (_SHORT, _TYPICAL, _FULL)]
    if torch.get_num_threads() > 1:
        all_threads = Workload(f"{_SHORT} tokens on {torch.get_num_threads()} threads")
        workloads.append((all_threads, _SHORT))
    return workloads


def _one_of_each_shape(model: nn.Module) -> list[nn.Linear]:
    layers: dict[torch.Size, nn.Linear] = {}
    for layer in linear_layers(model).values():
        layers.setdefault(layer.weight.shape, layer)
    return list(layers.values())


def _packed_calls(
    layers: Sequence[nn.Linear], workloads: Sequence[tuple[Workload, int]], *, to_train: bool
) -> list[Call]:
    return _calls([PackedLinear(layer) for layer in layers], workloads, to_train=to_train)


def _calls(
    layers: Sequence[nn.Linear | PackedLinear],
    workloads: Sequence[tuple[Workload, int]],
    *,
    to_train: bool,
) -> list[Call]:
    run = _forward_and_backward if to_train else _forward
    return [partial(run, layers, _inputs(layers, num_tokens)) for _, num_tokens in workloads]


def _inputs(layers: Sequence[nn.Linear | PackedLinear], num_tokens: int) -> list[Tensor]:
    """Make inputs, the same ones for all candidates, without torch's global random numbers."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(num_tokens, layer.in_features, generator=generator).to(layer.weight)
        for layer in layers
    ]


def _forward(
    layers: Sequence[Callable[[Tensor], Tensor]], inputs: Sequence[Tensor]
) -> list[Tensor]:
    with torch.no_grad():
        return [layer(tokens) for layer, tokens in zip(layers, inputs, strict=True)]


def _forward_and_backward(
    layers: Sequence[Callable[[Tensor], Tensor]], inputs: Sequence[Tensor]
) -> list[Tensor]:
    results = []
    with torch.enable_grad():
        for layer, tokens in zip(layers, inputs, strict=True):
            learned = tokens.detach().requires_grad_()
            outputs = layer(learned)
            (gradient,) = torch.autograd.grad(outputs, learned, outputs.detach())
            results += [outputs.detach(), gradient]
    return results
