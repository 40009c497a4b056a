"""RateState: what is left of one rate limit, as response headers report it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RateState:
    """One limit. `quota` units refill in `window` seconds, `remaining` are left.

    All units are there again after `reset` seconds. `policy` is the limit's name in the headers.
    """

    policy: str
    unit: str
    quota: int
    window: int
    remaining: int
    reset: int
