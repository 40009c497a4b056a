"""Random numbers that depend on nothing but a seed, a purpose and a step.

A training that is taken up again draws what it would have drawn, so no checkpoint needs to hold
the state of a generator; and a run draws the same numbers whichever runs share its batches.
"""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def generator_for(seed: int, purpose: str, step: int = 0) -> torch.Generator:
    """Make the generator of one purpose at one step, on the CPU."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{step}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little"))


def dropout_factors(shape: Sequence[int], probability: float, generator: torch.Generator) -> Tensor:
    """Draw what dropout multiplies by: zero, or what makes up for the zeros.

    The numbers are drawn one after another on the CPU, so that rows taken together or apart are
    dropped alike, on every device.
    """
    keep = torch.rand(tuple(shape), generator=generator) >= probability
    return keep / (1 - probability)


def drop(values: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Zero entries at random and scale up the rest, as dropout does."""
    if not probability:
        return values
    return values * dropout_factors(values.shape, probability, generator).to(values)
