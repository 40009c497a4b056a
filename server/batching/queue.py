"""WorkQueue: the works that wait for the device, in order of arrival."""

from collections import deque
from collections.abc import Iterator, Sequence

from server.batching.work import Work


class WorkQueue:
    """A first-in, first-out queue that counts its tokens. Belongs to the event loop."""

    def __init__(self) -> None:
        self._works: deque[Work] = deque()
        self._num_tokens = 0

    def __len__(self) -> int:
        return len(self._works)

    def __iter__(self) -> Iterator[Work]:
        return iter(self._works)

    @property
    def num_tokens(self) -> int:
        """The number of tokens of all queued works."""
        return self._num_tokens

    def add(self, works: Sequence[Work]) -> None:
        """Append works."""
        self._works.extend(works)
        self._num_tokens += sum(work.num_tokens for work in works)

    def pop_first(self, count: int) -> list[Work]:
        """Remove and return the first `count` works."""
        taken = [self._works.popleft() for _ in range(count)]
        self._num_tokens -= sum(work.num_tokens for work in taken)
        return taken
