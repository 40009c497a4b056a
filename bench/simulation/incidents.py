"""Incidents: replicas that crash and return, and replicas that are added."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Crash:
    """A replica is killed. The router notices after `notice_seconds`, and retries what was lost.

    It returns with empty memory `restart_seconds` after the crash.
    """

    at: float
    replica: int
    notice_seconds: float = 0.0
    restart_seconds: float = float("inf")


@dataclass(frozen=True, slots=True)
class Addition:
    """A replica with empty memory is added."""

    at: float


Incident = Crash | Addition


def rolling_additions(start: float, count: int, every: float) -> tuple[Addition, ...]:
    """Return additions of `count` replicas, one after the other."""
    return tuple(Addition(start + number * every) for number in range(count))
