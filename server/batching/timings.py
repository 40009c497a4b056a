"""Timings: how long a text was queued, and how long its batch ran."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds in the queue and on the device."""

    queue_seconds: float
    device_seconds: float
