"""Progress of a stream of inputs."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Progress:
    """How many inputs have results, how many of them failed, and the tokens and seconds so far."""

    done: int
    failed: int
    tokens: int
    seconds: float


@dataclass(slots=True)
class ProgressCounter:
    """Counts the results of a stream, and reports after each batch."""

    report: Callable[[Progress], object] | None
    done: int = 0
    failed: int = 0
    tokens: int = 0
    _started: float = field(default_factory=time.monotonic)

    def add(self, *, done: int, failed: int, tokens: int) -> None:
        """Count a batch, and report."""
        self.done += done
        self.failed += failed
        self.tokens += tokens
        if self.report is not None:
            seconds = time.monotonic() - self._started
            self.report(Progress(self.done, self.failed, self.tokens, seconds))
