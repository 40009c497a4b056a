"""Placement: the device that trains, and the share of its memory."""

from dataclasses import dataclass
from typing import Self

import torch

from prefixes.backbone import find_device
from prefixes.errors import BackboneUnavailable
from server.settings import Settings, variable_of


@dataclass(frozen=True, slots=True)
class Placement:
    """The device for workers. `memory_share` limits each worker if the device also serves."""

    device: str
    memory_share: float | None = None

    @classmethod
    def of(cls, settings: Settings, serving: torch.device) -> Self:
        """Choose the device from the settings and the device that serves.

        Raises:
            BackboneUnavailable: when the device does not exist.
        """
        device = _name(_chosen(settings.training_device, serving))
        if not device.startswith("cuda") or device != _name(serving):
            return cls(device)  # only CUDA can limit the memory of a process
        # A worker cannot see how much the other workers use, so each gets an equal share.
        return cls(device, settings.training_memory_share / settings.num_trainings)


def _chosen(text: str, serving: torch.device) -> torch.device:
    if text == "auto":
        return serving
    try:
        return find_device(text)
    except BackboneUnavailable as error:
        raise BackboneUnavailable(f"{variable_of('training_device')}: {error}") from error


def _name(device: torch.device) -> str:
    """Return the name of one device; `cuda` means the first GPU."""
    return f"cuda:{device.index or 0}" if device.type == "cuda" else device.type
