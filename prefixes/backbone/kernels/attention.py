"""The contest of the kernels for prefix attention."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import torch
from torch import Tensor

from prefixes.backbone.attention import PrefixedCall
from prefixes.backbone.kernels.contest import Call, Candidate, Contest, Workload
from prefixes.backbone.kernels.names import LONGEST_COMPILED, TORCH
from prefixes.backbone.native.library import is_compiled, library_path
from prefixes.backbone.packing import PackedBatch, Row

_BATCHES: Final = {
    "1 short text": [15],
    "16 short texts": [9, 21, 15, 12, 18, 8, 26, 14, 11, 16, 23, 10, 13, 19, 17, 20],
    "8 texts of all lengths": [9, 150, 30, 14, 70, 256, 21, 45],
    "4 texts of medium length": [96] * 4,
    "2 long texts": [256, 256],
}
"""The numbers of tokens of texts."""

_PREFIX_LENGTH: Final = 16
_NUM_PREFIXES: Final = 64
_SECONDS: Final = 0.4
_TOLERANCES: Final = {torch.float32: 1e-5, torch.bfloat16: 3e-2}
"""Relative to the largest result. The compiled attention supports these number types."""


@dataclass(frozen=True, slots=True)
class AttentionSizes:
    """The sizes of a layer: heads of the queries, heads of the keys, and numbers in each."""

    num_heads: int
    key_heads: int
    head_size: int


def attention_contest(
    sizes: AttentionSizes,
    device: torch.device,
    dtype: torch.dtype,
    *,
    scores_distances: bool,
    to_train: bool,
) -> Contest:
    """Compare the kernels for prefix attention, on one layer.

    If scores depend on the distance of tokens, only plain PyTorch can compute them. For training,
    each call includes the gradients of all inputs.
    """
    workloads = _workloads()
    calls = partial(_calls, sizes, dtype, workloads, _attend_and_back if to_train else _attend)
    can_compile = device.type == "cpu" and dtype in _TOLERANCES and not scores_distances
    candidates = [
        Candidate(name, partial(calls, longest_compiled=longest))
        for name, longest in LONGEST_COMPILED.items()
        if can_compile or name == TORCH
    ]
    return Contest(
        "attention",
        [workload for workload, _ in workloads],
        candidates,
        tolerance=_TOLERANCES.get(dtype, 0.0),
        seconds=_SECONDS,
    )


def library_fact() -> str:
    """Describe the compiled library that is installed, which a choice depends on."""
    return library_path().name if is_compiled() else "none"


def _workloads() -> Sequence[tuple[Workload, Sequence[int]]]:
    """Return workloads and the lengths of their texts.

    A lone text uses all threads. Batches that run at the same time use one or a few each.
    """
    num_threads = torch.get_num_threads()
    workloads = [(Workload(f"{name} on 1 thread", 1), texts) for name, texts in _BATCHES.items()]
    if num_threads > 1:
        name, texts = next(iter(_BATCHES.items()))
        workloads.append((Workload(f"{name} on {num_threads} threads"), texts))
    return workloads


def _calls(
    sizes: AttentionSizes,
    dtype: torch.dtype,
    workloads: Sequence[tuple[Workload, Sequence[int]]],
    attend: Callable[[PackedBatch, Sequence[Tensor]], Sequence[Tensor]],
    *,
    longest_compiled: int,
) -> list[Call]:
    generator = torch.Generator().manual_seed(0)
    shape = (1, 2, _NUM_PREFIXES * _PREFIX_LENGTH, sizes.key_heads, sizes.head_size)
    pool = torch.randn(shape, generator=generator).to(dtype)
    calls: list[Call] = []
    for _, lengths in workloads:
        packed = _packed(lengths, longest_compiled)
        tensors = _tensors(sizes, sum(lengths), generator, dtype)
        calls.append(partial(attend, packed, [*tensors, pool]))
    return calls


def _packed(lengths: Sequence[int], longest_compiled: int) -> PackedBatch:
    """Pack texts after random prefixes: the shortest first, as all candidates lay them out."""
    choose = random.Random(0)  # noqa: S311 - not a secret
    rows = [_row(length, choose.randrange(_NUM_PREFIXES)) for length in sorted(lengths)]
    return PackedBatch.pack(rows, longest_compiled=longest_compiled)


def _row(num_tokens: int, number: int) -> Row:
    slots = range(number * _PREFIX_LENGTH, (number + 1) * _PREFIX_LENGTH)
    return Row([0] * num_tokens, [0] * num_tokens, 0, slots)


def _tensors(
    sizes: AttentionSizes, num_tokens: int, generator: torch.Generator, dtype: torch.dtype
) -> list[Tensor]:
    """Make query, key and value `[T, H, D]`, the same ones for all candidates."""
    heads = (sizes.num_heads, sizes.key_heads, sizes.key_heads)
    return [
        torch.randn(num_tokens, num, sizes.head_size, generator=generator).to(dtype)
        for num in heads
    ]


def _attended(packed: PackedBatch, tensors: Sequence[Tensor]) -> Tensor:
    query, key, value, pool = tensors
    call = PrefixedCall(packed, pool)
    return call.attend(query, key, value, scaling=query.shape[2] ** -0.5)


@torch.inference_mode()
def _attend(packed: PackedBatch, tensors: Sequence[Tensor]) -> list[Tensor]:
    return [_attended(packed, tensors)]


def _attend_and_back(packed: PackedBatch, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the attended values and the gradients of all inputs."""
    leaves = [x.detach().requires_grad_() for x in tensors]
    attended = _attended(packed, leaves)
    return [attended.detach(), *torch.autograd.grad(attended, leaves, torch.ones_like(attended))]
