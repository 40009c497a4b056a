"""Hooks of an encoder, through which a batch changes the hidden states of its tokens.

The two norms of every layer apply task vectors to their outputs. The dropouts of the architecture,
which do nothing in a model that is evaluated, drop hidden units of rows that train.
"""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol
from weakref import WeakSet

import torch
from torch import Tensor, nn

NUM_NORMS: Final = 2
"""Number of norms of a layer."""


class _Call(Protocol):
    def modulate(self, norm: int, hidden: Tensor, *, in_place: bool) -> Tensor:
        """Apply the vectors of a batch to the output of a layer's norm 0 or 1."""

    def drop(self, hidden: Tensor) -> Tensor:
        """Drop hidden units of the rows that have dropout."""


_running = threading.local()  # a batch runs on one thread, and streams run batches on several
_hooking: Final = threading.Lock()
_with_dropout: Final[WeakSet[nn.Module]] = WeakSet()


@contextmanager
def hooks_of(call: _Call) -> Iterator[None]:
    """Let the modules that run on this thread call the hooks of a call."""
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
            module.register_forward_hook(_norm_hook(norm))


def hook_dropouts(model: nn.Module) -> None:
    """Make the dropouts of a model drop hidden units as the running call says, from now on.

    Only models that train have these hooks, which take time even if no row has dropout. The
    dropout of DeBERTa-v2's convolution has none, because its texts have gaps between them.
    """
    with _hooking:
        if model in _with_dropout:
            return
        for path, module in model.named_modules():
            if isinstance(module, nn.Dropout) and not path.endswith("conv.dropout"):
                module.register_forward_hook(_dropout_hook)
        _with_dropout.add(model)


def _norm_hook(norm: int) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    def hook(_module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        call: _Call | None = getattr(_running, "call", None)
        if call is None:
            return output
        # Gradients need the output as it was. An identity returns its input, which others read.
        is_free = not torch.is_grad_enabled() and output is not inputs[0]
        return call.modulate(norm, output, in_place=is_free)

    return hook


def _dropout_hook(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
    call: _Call | None = getattr(_running, "call", None)
    return output if call is None else call.drop(output)
