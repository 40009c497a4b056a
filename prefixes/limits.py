"""Limits: how much a tenant, or one of its keys, may use."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, get_args

from prefixes.errors import InvalidLimit

LimitName = Literal[
    "requests_per_second",
    "tokens_per_second",
    "max_in_flight_texts",
    "management_requests_per_second",
    "max_upload_bytes",
    "max_stored_bytes",
    "max_prefixes",
    "max_versions",
    "max_queued_trainings",
    "max_running_trainings",
    "training_cpu_seconds_per_day",
    "weight",
]

LIMIT_NAMES: Final[tuple[LimitName, ...]] = get_args(LimitName)

KEY_LIMITS: Final = frozenset[LimitName]({
    "requests_per_second", "tokens_per_second", "max_in_flight_texts",
    "management_requests_per_second", "max_upload_bytes",
})  # fmt: skip
"""The limits that a key may have, too. Versions and trainings belong to tenants, not to keys."""

UNLIMITED: Final = math.inf

LimitSet = Mapping[LimitName, float]
"""The limits that somebody has set, by name. `UNLIMITED` removes a limit that a default sets."""

NOT_SET: Final[LimitSet] = MappingProxyType({})

_RATES: Final = frozenset[LimitName]({
    "requests_per_second", "tokens_per_second", "management_requests_per_second",
    "training_cpu_seconds_per_day", "weight",
})  # fmt: skip
_MAX_COUNT: Final = 2**53
"""A double holds every integer up to this one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that apply to a tenant or to a key; infinity means unlimited.

    `weight` is the tenant's share of the device, compared with other tenants.
    """

    requests_per_second: float = UNLIMITED
    tokens_per_second: float = UNLIMITED
    max_in_flight_texts: float = UNLIMITED
    management_requests_per_second: float = UNLIMITED
    max_upload_bytes: float = UNLIMITED
    max_stored_bytes: float = UNLIMITED
    max_prefixes: float = UNLIMITED
    max_versions: float = UNLIMITED
    max_queued_trainings: float = UNLIMITED
    max_running_trainings: float = UNLIMITED
    training_cpu_seconds_per_day: float = UNLIMITED
    weight: float = 1.0

    @classmethod
    def of(cls, *layers: LimitSet) -> "Limits":
        """Combine sets of limits. Each takes precedence over the ones before it."""
        merged: dict[LimitName, float] = {}
        for layer in layers:
            merged.update(layer)
        return cls(**merged) if merged else NO_LIMITS

    def by_name(self) -> LimitSet:
        """Return all limits by name."""
        return {name: getattr(self, name) for name in LIMIT_NAMES}


NO_LIMITS: Final = Limits()


def printable(value: float) -> float | Literal["unlimited"]:
    """Return a value as JSON can hold it: an integer where possible, and no infinity."""
    if value == UNLIMITED:
        return "unlimited"
    return int(value) if value == int(value) else value


def tag_of(limits: LimitSet) -> str:
    """Return a short text that differs for different sets of limits."""
    text = json.dumps(sorted(limits.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def check_limit(name: LimitName, value: float) -> float:
    """Return a valid value of a limit.

    Raises:
        InvalidLimit: when the value is out of range, or not an integer although it counts
            something.
    """
    if name == "weight":
        low, high, kind = 0.01, 100.0, "a number"
    elif value == UNLIMITED:
        return value
    elif name in _RATES:
        low, high, kind = 0.001, 1e9, "a number"
    else:
        low, high, kind = 0, _MAX_COUNT, "an integer"
    if not low <= value <= high or (name not in _RATES and value != int(value)):
        ending = "" if name == "weight" else ", or `unlimited`"
        raise InvalidLimit(
            f"Invalid `{name}`: {value:.10g} was given; use {kind} from {low:g} to {high:g}{ending}"
        )
    return value
