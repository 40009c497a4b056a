"""Several processes that train the same runs. Each runs a part of every step.

All processes hold all runs. They sum their gradients before the optimizer step, so they always
agree. A launcher such as torchrun or `accelerate launch` sets RANK, WORLD_SIZE, LOCAL_RANK,
MASTER_ADDR and MASTER_PORT.
"""

import os
from collections.abc import Sequence
from typing import Final, Protocol

import torch
from torch import Tensor

from training.errors import PlanRejected, TrainingError


class Processes(Protocol):
    """The processes of a training: `count` of them, of which this is `number`, from 0."""

    @property
    def number(self) -> int: ...

    @property
    def count(self) -> int: ...

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes."""

    def meet(self) -> None:
        """Wait until every process has called this."""


class OneProcess:
    """The only process of a training."""

    number: Final = 0
    count: Final = 1

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Leave the tensors unchanged."""

    def meet(self) -> None:
        """Return at once."""


class ManyProcesses:
    """One of several processes, joined by gloo on a CPU and by NCCL on GPUs."""

    def __init__(self, *, on_cpu: bool) -> None:
        """Wait for the other processes and join them."""
        from accelerate import PartialState  # noqa: PLC0415 - slow, and only for several processes

        self._state = PartialState(cpu=on_cpu)
        self.number: int = self._state.process_index
        self.count: int = self._state.num_processes

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Sum over all processes, in one message.

        Raises:
            TrainingError: if another process has ended.
        """
        from accelerate.utils import reduce  # noqa: PLC0415 - as above

        flat = torch.cat([tensor.detach().flatten().float() for tensor in tensors])
        try:
            total = reduce(flat, "sum")
        except RuntimeError as error:  # the base of what gloo and NCCL raise
            raise TrainingError(
                f"Process {self.number} of {self.count} lost another process, which ended early: "
                "see its error, then run the same command with --resume"
            ) from error
        parts = torch.split(total, [tensor.numel() for tensor in tensors])
        with torch.no_grad():
            for tensor, part in zip(tensors, parts, strict=True):
                tensor.copy_(part.view_as(tensor))

    def meet(self) -> None:
        self._state.wait_for_everyone()


def is_first_process() -> bool:
    """Return whether this process writes, prints and publishes. Works before `join_processes`."""
    return os.environ.get("RANK", "0") == "0"


def join_processes(device: str) -> tuple[Processes, str]:
    """Join the processes that the environment describes. Also return the device of this one.

    Raises:
        PlanRejected: when accelerate is not installed, or a GPU was named that all would share.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return OneProcess(), device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device not in {"cpu", "cuda"}:
        raise PlanRejected(f"Invalid device {device!r}: several processes train on cpu or cuda")
    try:
        processes = ManyProcesses(on_cpu=device == "cpu")
    except ModuleNotFoundError as error:
        raise PlanRejected(
            "Several processes require accelerate, which is not installed: run "
            "pip install 'polyprefix[parallel]'"
        ) from error
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return processes, device
