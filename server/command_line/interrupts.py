"""Ctrl-C and SIGTERM: a training ends at its next step, so that what it has learnt is saved."""

import os
import signal
from types import FrameType, TracebackType
from typing import Any, Final, Self

from training.errors import TrainingStopped

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_TOLD: Final = b"polyprefix: stopping at the next step; Ctrl-C once more ends at once\n"
_STDERR: Final = 2


class Stopper:
    """While entered, the signals that end a program end a training between two of its steps.

    Before the first step nothing is learnt that could be saved, so they end the program at once;
    so does a second Ctrl-C.
    """

    def __init__(self) -> None:
        self._has_begun = False
        self._is_told = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._tell) for number in _SIGNALS}
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
        """Let the training end here, between two steps, if it shall.

        Raises:
            TrainingStopped: once there was a signal.
        """
        self._has_begun = True
        if self._is_told:
            raise TrainingStopped("stopped; the same command with --resume goes on")

    def _tell(self, number: int, _: FrameType | None) -> None:
        # SIGTERM may follow a Ctrl-C: a launcher sends it to processes that are ending already.
        if not self._has_begun or (self._is_told and number == signal.SIGINT):
            raise KeyboardInterrupt
        if not self._is_told:
            os.write(_STDERR, _TOLD)  # not print: the signal may have come amid one
        self._is_told = True
