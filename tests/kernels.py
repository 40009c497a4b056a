"""The kernels that tests run with: each one, skipped with the reason where it does not run."""

import functools

import pytest
import torch
from torch import nn

from prefixes.backbone.kernels.names import ONEDNN, TORCH
from prefixes.backbone.kernels.packed_linear import PackedLinear


@functools.cache
def reason_without_onednn(dtype: torch.dtype = torch.float32) -> str:
    """Return why this machine has no packed layers of a number type; empty where it has them."""
    plain = nn.Linear(8, 8).to(dtype).requires_grad_(requires_grad=False)
    try:
        PackedLinear(plain)(torch.zeros(1, 8, dtype=dtype))
    except (AttributeError, RuntimeError) as error:
        return str(error).partition("\n")[0]
    return ""


needs_onednn = pytest.mark.skipif(bool(reason_without_onednn()), reason=reason_without_onednn())

LINEAR_KERNELS = (TORCH, pytest.param(ONEDNN, marks=needs_onednn))
"""The values of a parameter for the kernel of linear layers."""
