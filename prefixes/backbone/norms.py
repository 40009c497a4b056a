"""The norms of an encoder, which apply the task vectors of a batch to their outputs.

Every layer of the supported architectures has two norms.
"""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

import torch
from torch import Tensor, nn

NUM_NORMS: Final = 2
"""Number of norms of a layer."""


class _Call(Protocol):
    def modulate(self, norm: int, hidden: Tensor, *, in_place: bool) -> Tensor:
        """Apply the vectors of a batch to the output of a layer's norm 0 or 1."""


_running = threading.local()  # a batch runs on one thread, and streams run batches on several


@contextmanager
def norms_of(call: _Call) -> Iterator[None]:
    """Let the norms that run on this thread apply the vectors of a call."""
    _running.call = call
    try:
        yield
    finally:
        _running.call = None


def hook_norms(model: nn.Module, names: tuple[str, str]) -> None:
    """Make the two norms of every layer apply the vectors of the running call.

    Args:
        model: an encoder, whose layers are numbered modules.
        names: the norms of a layer in the order in which they run, as paths within the layer.
    """
    for norm, name in enumerate(names):
        of_a_layer = re.compile(rf"(.*\.)?\d+\.{re.escape(name)}")
        found = [one for path, one in model.named_modules() if of_a_layer.fullmatch(path)]
        assert found, name
        for module in found:
            module.register_forward_hook(_hook(norm))


def _hook(norm: int) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    def hook(_module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        call: _Call | None = getattr(_running, "call", None)
        if call is None:
            return output
        # Gradients need the output as it was. An identity returns its input, which others read.
        is_free = not torch.is_grad_enabled() and output is not inputs[0]
        return call.modulate(norm, output, in_place=is_free)

    return hook
