"""Random numbers that depend only on a seed, a purpose and a step.

A resumed training draws the same numbers, so checkpoints need no generator state. A run draws the
same numbers whichever runs share its batches.
"""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def generator_for(seed: int, purpose: str, step: int = 0) -> torch.Generator:
    """Return the random generator of one purpose at one step, on the CPU."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{step}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little"))


def dropout_factors(shape: Sequence[int], probability: float, generator: torch.Generator) -> Tensor:
    """Draw the factors of dropout: zero, or the scale of the rest.

    They are drawn in sequence on the CPU, so that they do not depend on batches or devices.
    """
    keep = torch.rand(tuple(shape), generator=generator) >= probability
    return keep / (1 - probability)


def seeds_of(count: int, generator: torch.Generator) -> list[int]:
    """Draw seeds of other generators."""
    seeds: list[int] = torch.randint(2**62, (count,), generator=generator).tolist()
    return seeds


def drop(values: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Zero entries at random and scale up the rest, as dropout does."""
    if not probability:
        return values
    return values * dropout_factors(values.shape, probability, generator).to(values)
