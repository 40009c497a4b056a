"""The kernels that tests run with: each one, skipped with the reason where it does not run."""

import functools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from prefixes.backbone import Backbone, load_backbone
from prefixes.backbone.architecture import ARCHITECTURES
from prefixes.backbone.kernels.names import (
    COMPILED,
    ONEDNN,
    ONEDNN_COMPILED,
    PLAIN,
    TORCH,
    TORCH_COMPILED,
    Kernels,
)
from prefixes.backbone.kernels.packed_linear import PackedLinear
from prefixes.backbone.native.build import build, find_compiler
from prefixes.backbone.native.library import is_compiled


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

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="needs a C++ compiler")

ATTENTION_KERNELS = (
    TORCH,
    pytest.param(COMPILED, marks=needs_compiler),
    pytest.param("compiled-64", marks=needs_compiler),
)
"""The values of a parameter for the attention kernel."""

INT8_KERNELS = (
    ONEDNN,
    TORCH,
    pytest.param(ONEDNN_COMPILED, marks=needs_compiler),
    pytest.param(TORCH_COMPILED, marks=needs_compiler),
)
"""The values of a parameter for the kernel of int8 layers."""

KERNELS = (
    pytest.param(PLAIN, id="plain"),
    pytest.param(Kernels(linear=ONEDNN), marks=needs_onednn, id=ONEDNN),
    pytest.param(Kernels(attention="compiled-64"), marks=needs_compiler, id="compiled-64"),
    pytest.param(
        Kernels(ONEDNN, COMPILED), marks=[needs_onednn, needs_compiler], id=f"{ONEDNN}-{COMPILED}"
    ),
)
"""The values of a parameter for all kernels of a backbone: plain ones, one alternative, or two."""

FIRST_AND_LAST_KERNELS = (KERNELS[0], KERNELS[-1])
"""The same for slow tests: plain kernels only, and no plain ones."""


def load_compiled_attention() -> None:
    """Load the operators of the compiled attention, which are compiled if they were not."""
    build()
    is_compiled.cache_clear()  # a test may have looked for them before
    assert is_compiled()


def load_with(kernels: Kernels, folder: Path, **options: Any) -> Backbone:
    """Load a backbone on the CPU. Skip the test if its architecture does not support a kernel."""
    if kernels.attention != TORCH:
        name = json.loads((folder / "config.json").read_text())["model_type"]
        if ARCHITECTURES[name].scores_distances:
            pytest.skip(f"{name} scores the distance of tokens, which is not compiled")
    return load_backbone(
        folder,
        device="cpu",
        linear_kernel=kernels.linear,
        attention_kernel=kernels.attention,
        **options,
    )
