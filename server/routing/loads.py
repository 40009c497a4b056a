"""ReplicaLoads: the tokens in flight at each replica, as far as this process sent them."""

from collections import Counter, deque
from collections.abc import Iterable
from typing import Final

_NUM_EARLY: Final = 256


class ReplicaLoads:
    """Counts requests from their start to their end, by replica.

    A process counts only its own requests. Where several share the traffic, each sees its part of
    every replica, and a slow replica looks busy to all of them. Reports from the replicas would be
    complete, but old: all processes would then avoid the same replica, and overload another.
    """

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str], int] = {}
        self._tokens: Counter[str] = Counter()
        # The end of a short request may be reported before its start.
        self._early: deque[tuple[str, str]] = deque(maxlen=_NUM_EARLY)

    def start(self, request_id: str, replica: str, num_tokens: int) -> None:
        """Count a request that a replica has accepted."""
        key = (request_id, replica)
        if key not in self._early:
            self._requests[key] = num_tokens
            self._tokens[replica] += num_tokens

    def end(self, request_id: str, replica: str) -> None:
        """Stop counting a request."""
        key = (request_id, replica)
        num_tokens = self._requests.pop(key, None)
        if num_tokens is None:
            self._early.append(key)
            return
        self._tokens[replica] -= num_tokens
        if not self._tokens[replica]:
            del self._tokens[replica]

    def of(self, replicas: Iterable[str]) -> dict[str, float]:
        """Return the load of each of these replicas."""
        return {replica: float(self._tokens[replica]) for replica in replicas}
