"""Timings: where the time of a request went."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timings:
    """Where a request's time went, in seconds."""

    queue_seconds: float
    device_seconds: float
