"""CpuTimeMonitor: detects workers that hang, and trainings that take too long."""

from typing import Final

from server.training_jobs.clock import Clock
from server.training_jobs.errors import TrainingFailed
from server.training_jobs.folders import TrainingFolder

MAX_IDLE_SECONDS: Final = 900.0
"""Even at the lowest priority of a busy machine a worker gets some CPU time within this time."""
MIN_CPU_SECONDS: Final = 0.5
"""A worker that used less CPU time than this is idle: writing the time takes a little, too."""


class CpuTimeMonitor:
    """Monitors the CPU time that one worker writes into its folder.

    A training is charged that time divided by the threads that share its work. This is about the
    time that it would take on an idle machine.
    """

    def __init__(
        self, folder: TrainingFolder, clock: Clock, *, max_seconds: float, num_threads: int
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._max_seconds = max_seconds
        self._num_threads = num_threads
        self._worked = folder.cpu_seconds()
        self._since = clock.monotonic()

    def is_hung(self) -> bool:
        """Return whether the worker has been idle for too long.

        Raises:
            TrainingFailed: when the training has taken longer than it may.
        """
        spent = self._folder.cpu_seconds()
        charged = spent / self._num_threads
        if charged > self._max_seconds:
            detail = (
                f"The training has taken {charged:.0f} seconds of CPU time; the limit is "
                f"{self._max_seconds:g}. Use fewer rows or fewer steps."
            )
            raise TrainingFailed(504, "training_too_long", detail)
        if spent >= self._worked + MIN_CPU_SECONDS:
            self._worked, self._since = spent, self._clock.monotonic()
        return self._clock.monotonic() - self._since >= MAX_IDLE_SECONDS
