"""Ctrl-C and SIGTERM: a training stops at its next step, and its progress is saved."""

import os
import signal
from types import FrameType, TracebackType
from typing import Any, Final, Self

from training.errors import TrainingStopped

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_NOTICE: Final = b"polyprefix: Stopping at the next step. Press Ctrl-C again to stop at once.\n"
_STDERR: Final = 2


class Stopper:
    """Context manager under which SIGINT and SIGTERM stop a training between two steps.

    Before the first step there is no progress to save, so a signal ends the program at once. A
    second Ctrl-C does so at any time.
    """

    def __init__(self) -> None:
        self._has_begun = False
        self._is_signaled = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._receive) for number in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Stop the training here, between two steps, if a signal has arrived.

        Raises:
            TrainingStopped: after a signal.
        """
        self._has_begun = True
        if self._is_signaled:
            raise TrainingStopped("Stopped. Add --resume to the same command to continue.")

    def _receive(self, number: int, _: FrameType | None) -> None:
        # Only SIGINT counts: a launcher sends SIGTERM to processes that a Ctrl-C already stops.
        if not self._has_begun or (self._is_signaled and number == signal.SIGINT):
            raise KeyboardInterrupt
        if not self._is_signaled:
            os.write(_STDERR, _NOTICE)  # not print, which the signal may have interrupted
        self._is_signaled = True
