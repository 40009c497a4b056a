"""Popularity: the part of recent work that each task has."""

import math
from heapq import nlargest
from operator import itemgetter
from typing import Final

_MAX_EXPONENT: Final = 500.0
"""Of the weight of new work, as a power of two. A float overflows at 1024."""


class Popularity:
    """Counts the work of tasks. Work counts half after each `half_life_seconds`.

    Instead of reducing all counts again and again, new work gets a greater weight than older work
    (forward decay; Cormode et al., 2009). Times are in seconds, of any steady clock.
    """

    def __init__(self, *, half_life_seconds: float = 30.0, max_tasks: int = 4096) -> None:
        """Remember at least the `max_tasks` tasks with the most work."""
        self._half_life = half_life_seconds
        self._max_tasks = max_tasks
        self._start: float | None = None
        self._counts: dict[str, float] = {}
        self._total = 0.0

    def add(self, task: str, amount: float, now: float) -> None:
        """Count work of a task."""
        weighted = amount * self._weight(now)
        self._counts[task] = self._counts.get(task, 0.0) + weighted
        self._total += weighted
        if len(self._counts) > 2 * self._max_tasks:
            most = nlargest(self._max_tasks, self._counts.items(), key=itemgetter(1))
            self._counts = dict(most)

    def share(self, task: str) -> float:
        """Return the part of all work that was this task's, from 0 to 1."""
        return min(1.0, self._counts.get(task, 0.0) / self._total) if self._total else 0.0

    def _weight(self, now: float) -> float:
        if self._start is None:
            self._start = now
        exponent = (now - self._start) / self._half_life
        if exponent > _MAX_EXPONENT:
            self._rebase(exponent, now)
            return 1.0
        return math.exp2(exponent)

    def _rebase(self, exponent: float, now: float) -> None:
        """Let weights begin at 1 again."""
        factor = math.exp2(-exponent)
        self._counts = {task: each * factor for task, each in self._counts.items()}
        self._total *= factor
        self._start = now
