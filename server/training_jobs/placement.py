"""Placement: the device that trains, and how much of it."""

from dataclasses import dataclass
from typing import Self

import torch

from prefixes.backbone import find_device
from prefixes.errors import BackboneUnavailable
from server.settings import Settings, variable_of


@dataclass(frozen=True, slots=True)
class Placement:
    """Where workers train. `memory_share` bounds each on a GPU that serves as well."""

    device: str
    memory_share: float | None = None

    @classmethod
    def of(cls, settings: Settings, serving: torch.device) -> Self:
        """Follow an operator's choice, beside the device that serves.

        Raises:
            BackboneUnavailable: when there is no such device.
        """
        device = _name(_chosen(settings.training_device, serving))
        if device == "cpu" or device != _name(serving):
            return cls(device)
        # Each is a process of its own, which knows nothing of what the others take.
        return cls(device, settings.training_memory_share / settings.num_trainings)


def _chosen(text: str, serving: torch.device) -> torch.device:
    if text == "auto":
        return serving
    try:
        return find_device(text)
    except BackboneUnavailable as error:
        raise BackboneUnavailable(f"{variable_of('training_device')}: {error}") from error


def _name(device: torch.device) -> str:
    """Name one device: of `cuda` alone, the first."""
    return "cpu" if device.type == "cpu" else f"{device.type}:{device.index or 0}"
