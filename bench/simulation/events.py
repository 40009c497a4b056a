"""Events: what happens at which time of a simulation."""

import heapq
from collections.abc import Callable
from typing import Any

Action = Callable[[float, Any], None]
"""Gets the time and the argument that it was scheduled with."""


class Events:
    """Scheduled actions. Those of the same time run in the order in which they were scheduled."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Action, Any]] = []
        self._count = 0

    def at(self, time: float, action: Action, argument: Any = None) -> None:
        """Schedule an action."""
        self._count += 1
        heapq.heappush(self._heap, (time, self._count, action, argument))

    def run(self, until: float) -> None:
        """Run all actions that are due up to a time, also those that they schedule."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            time, _, action, argument = heapq.heappop(heap)
            action(time, argument)
