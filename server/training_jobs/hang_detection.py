"""Watching a worker: whether it is to stop, has taken too long, or does nothing any more."""

import logging
import time
from typing import Final

from fastapi.concurrency import run_in_threadpool

from prefixes.errors import StoreUnavailable
from server.training_jobs.errors import Ended, problem
from server.training_jobs.folders import TrainingFolder
from server.training_jobs.records import TrainingJob
from server.training_jobs.store import TrainingStore

_MOST_IDLE_SECONDS: Final = 900.0
"""Even at the lowest priority of a busy machine a worker gets some of a processor in this time."""
_LEAST_WORK_SECONDS: Final = 0.5
"""Of a processor; noting the time alone takes a little."""

_log = logging.getLogger(__name__)


async def check_cancelled(store: TrainingStore, training: TrainingJob) -> None:
    """Ask whether somebody wants a training to stop.

    Raises:
        Ended: when it was cancelled.
    """
    try:
        is_cancelling = await run_in_threadpool(store.is_cancelling, training.id)
    except StoreUnavailable as error:  # asked again soon: no reason to stop
        _log.warning("whether to cancel training %s is not known: %s", training.id, error)
        return
    if is_cancelling:
        raise Ended("cancelled")


class SpentWatch:
    """Watches the time of a processor that one worker notes.

    A training is charged that time divided by the threads that share its work: about what it would
    take on an idle machine.
    """

    def __init__(self, folder: TrainingFolder, *, max_seconds: float, num_threads: int) -> None:
        self._folder = folder
        self._max_seconds = max_seconds
        self._num_threads = num_threads
        self._worked = folder.spent_seconds()
        self._since = time.monotonic()

    def sees_life(self) -> bool:
        """Say whether the worker has worked of late: one that hangs would keep its place for ever.

        Raises:
            Ended: when the training has taken as long as it may.
        """
        spent = self._folder.spent_seconds()
        charged = spent / self._num_threads
        if charged > self._max_seconds:
            detail = (
                f"It has taken {charged:.0f} seconds of a processor, and a training may take "
                f"{self._max_seconds:g}: give it fewer rows, or fewer steps"
            )
            raise Ended("failed", problem(504, "training_too_long", detail))
        if spent >= self._worked + _LEAST_WORK_SECONDS:
            self._worked, self._since = spent, time.monotonic()
        return time.monotonic() - self._since < _MOST_IDLE_SECONDS
