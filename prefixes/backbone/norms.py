"""Task vectors: scales and shifts of the outputs of the norms, different for every row of a batch.

Tuning the weights of LayerNorm adapts a frozen encoder to a task (Qi et al. 2022,
arXiv 2211.08682). Here, the norms keep their weights, and their outputs are scaled and shifted for
each row. This has the same effect: `(w n + b) (1 + s) + t` for the normalized values n. A row
without vectors keeps the output bit for bit.

Every layer of the supported architectures has two norms. Their vectors lie in the pool of prefixes,
in slots of their own, as `TaskVectors` describes.
"""

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

import numpy as np
import torch
from torch import Tensor, nn

from prefixes.backbone.grouping import Ints, TextSlots, tensor_of
from prefixes.backbone.native.library import is_compiled
from prefixes.backbone.native.operator import modulate_compiled

NUM_NORMS: Final = 2
"""Number of norms of a layer."""


class _Row(Protocol):
    @property
    def vectors(self) -> Sequence[int]: ...


@dataclass(frozen=True, slots=True, eq=False)
class TaskVectors:
    """The pool slots of the vectors of N tokens, which lie at `places` of a batch, or are all.

    The scales of a norm take n slots, as many as its width has keys of all heads, and its shifts
    another n: `slots` is `[2, N * n]`. In the pool `[L, 2, C, H, D]`, the second index is the norm
    of the layer. `texts` has the same slots by text, where the compiled operator runs.
    """

    slots: Tensor
    places: Tensor | None
    texts: TextSlots | None = None

    @classmethod
    def of(cls, rows: Sequence[_Row], bounds: Ints, device: torch.device | str) -> Self | None:
        """Return the vectors of rows with `bounds` `[rows + 1]`; None if no row has any."""
        having = [number for number, row in enumerate(rows) if row.vectors]
        if not having:
            return None
        lengths = np.diff(bounds)[having]
        both = np.array([rows[number].vectors for number in having]).reshape(len(having), 2, -1)
        slots = np.repeat(both, lengths, axis=0).transpose(1, 0, 2).reshape(2, -1)
        texts = None
        if _runs_compiled(device):
            texts = TextSlots.of(np.diff(bounds).tolist(), [row.vectors for row in rows])
        if len(having) == len(rows):
            return cls(tensor_of(slots, device), None, texts)
        ends = np.cumsum(lengths)
        places = np.arange(ends[-1]) + np.repeat(bounds[having] - ends + lengths, lengths)
        return cls(tensor_of(slots, device), tensor_of(places, device), texts)

    def apply(self, pool: Tensor, hidden: Tensor, *, in_place: bool = False) -> Tensor:
        """Scale and shift the output `[..., T, hidden]` of a norm, with its pool `[C, H, D]`.

        `in_place` may overwrite `hidden`, which takes a fifth less time on a CPU, and two thirds
        less with the compiled operator.
        """
        flat = hidden.view(-1, hidden.shape[-1])
        if in_place and self.texts is not None and _fit_operator(hidden, pool):
            modulate_compiled(flat, pool, self.texts)
            return hidden
        own = flat if self.places is None else flat.index_select(0, self.places)
        scales, shifts = (
            pool.index_select(0, slots).view(own.shape).to(own.dtype) for slots in self.slots
        )
        if not in_place:
            changed = torch.addcmul(own, own, scales) + shifts
            if self.places is not None:
                changed = flat.index_copy(0, self.places, changed)
            return changed.view_as(hidden)
        own.addcmul_(own, scales).add_(shifts)
        if self.places is not None:
            flat.index_copy_(0, self.places, own)
        return hidden


def _runs_compiled(device: torch.device | str) -> bool:
    return torch.device(device).type == "cpu" and is_compiled()


def _fit_operator(hidden: Tensor, pool: Tensor) -> bool:
    """Return whether the compiled operator supports the number types."""
    is_known = hidden.dtype in {torch.float32, torch.bfloat16}
    return is_known and pool.dtype in {torch.float32, hidden.dtype}


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
