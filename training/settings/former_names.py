"""Former names of settings, which plans, requests and checkpoints may still contain."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

FORMER_NAMES: Final[Mapping[str, str]] = MappingProxyType({"initialisation": "initialization"})
"""The current name of each renamed setting, by its former name."""


def with_current_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Replace former names and keep the order.

    A former name next to the current one stays, so that validation rejects it.
    """
    return {
        name if FORMER_NAMES.get(name, name) in settings else FORMER_NAMES[name]: value
        for name, value in settings.items()
    }
