"""Several processes that train the same runs: each takes a part of every step.

All of them hold all runs, and add up what they found before the optimizers step, so that they
agree at every moment. A launcher says who is who in the environment, as torchrun and
`accelerate launch` do: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT.
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
        """Put in each tensor's place the sum of what all processes have in it."""

    def meet(self) -> None:
        """Wait until every process has come here."""


class OneProcess:
    """The only process of a training."""

    number: Final = 0
    count: Final = 1

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Leave the tensors as they are: there is nobody to add."""

    def meet(self) -> None:
        """Wait for nobody."""


class ManyProcesses:
    """One of several processes, joined by gloo on a CPU and by NCCL on GPUs."""

    def __init__(self, *, on_cpu: bool) -> None:
        """Join the others, who are waited for."""
        from accelerate import PartialState  # noqa: PLC0415 - slow, and only for several processes

        self._state = PartialState(cpu=on_cpu)
        self.number: int = self._state.process_index
        self.count: int = self._state.num_processes

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Add up over all processes, in one message.

        Raises:
            TrainingError: when another process is gone.
        """
        from accelerate.utils import reduce  # noqa: PLC0415 - as above

        flat = torch.cat([tensor.detach().flatten().float() for tensor in tensors])
        try:
            total = reduce(flat, "sum")
        except RuntimeError as error:  # the base of what gloo and NCCL raise
            raise TrainingError(
                f"process {self.number} of {self.count} lost another one, which ended before the "
                "training did: see what that one said; the same command with --resume goes on"
            ) from error
        parts = torch.split(total, [tensor.numel() for tensor in tensors])
        with torch.no_grad():
            for tensor, part in zip(tensors, parts, strict=True):
                tensor.copy_(part.view_as(tensor))

    def meet(self) -> None:
        self._state.wait_for_everyone()


def is_first_process() -> bool:
    """Say whether this is the process that writes, shows and publishes; needs no joining."""
    return os.environ.get("RANK", "0") == "0"


def join_processes(device: str) -> tuple[Processes, str]:
    """Join the other processes that the environment tells of; give the device of this one too.

    Raises:
        PlanRejected: when accelerate is not installed, or a GPU was named that all would share.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return OneProcess(), device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device not in {"cpu", "cuda"}:
        raise PlanRejected(f"several processes train on cpu or cuda: found device {device!r}")
    try:
        processes = ManyProcesses(on_cpu=device == "cpu")
    except ModuleNotFoundError as error:
        raise PlanRejected(
            "several processes need accelerate: pip install 'polyprefix[parallel]'"
        ) from error
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return processes, device
