"""Random numbers that depend on nothing but a seed, a purpose and a step.

A training that is taken up again draws what it would have drawn, so no checkpoint needs to hold
the state of a generator; and a run draws the same numbers whichever runs share its batches.
"""

import hashlib

import torch
from torch import Tensor


def generator_for(seed: int, purpose: str, step: int = 0) -> torch.Generator:
    """Make the generator of one purpose at one step, on the CPU."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{step}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little"))


def drop(values: Tensor, probability: float, generator: torch.Generator | None) -> Tensor:
    """Zero entries at random and scale up the rest, as dropout does.

    The numbers are drawn one after another on the CPU, so that rows taken together or apart are
    dropped alike, on every device.
    """
    if not probability:
        return values
    keep = torch.rand(values.shape, generator=generator) >= probability
    return values * keep.to(values) / (1 - probability)
