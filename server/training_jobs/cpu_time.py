"""CpuTimeAccount: charges the CPU time of a training to the limit of its tenant."""

import logging
from typing import Final

from prefixes.errors import StoreUnavailable
from server.training_jobs.clock import Clock
from server.training_jobs.errors import TrainingPaused
from server.training_jobs.folders import TrainingFolder
from server.training_jobs.records import TrainingJob
from server.training_jobs.store import TrainingStore

_SECONDS_BETWEEN_CHARGES: Final = 30.0
"""A charge makes every process read its cached answers again, so it must be rare."""

_log = logging.getLogger(__name__)


class CpuTimeAccount:
    """The CPU time of one worker that is not charged yet.

    If the server dies, what was not charged is lost: at most the time between two charges.
    """

    def __init__(
        self, training: TrainingJob, folder: TrainingFolder, store: TrainingStore, clock: Clock
    ) -> None:
        self._training = training
        self._folder = folder
        self._store = store
        self._clock = clock
        self._charged = folder.cpu_seconds()
        self._next = clock.monotonic() + _SECONDS_BETWEEN_CHARGES

    def charge_if_due(self) -> None:
        """Charge the CPU time, unless this was done a short time ago.

        Raises:
            LeaseLost: as `charge`.
            TrainingPaused: when the tenant has used up its CPU time.
        """
        if self._clock.monotonic() >= self._next:
            self._next = self._clock.monotonic() + _SECONDS_BETWEEN_CHARGES
            if not self.charge():
                raise TrainingPaused

    def charge(self) -> bool:
        """Charge the CPU time, and return false if the tenant may not use more.

        Raises:
            LeaseLost: when another server may run the training. It charges what its workers use.
        """
        spent = self._folder.cpu_seconds()
        if spent <= self._charged:
            return True
        try:
            has_more = self._store.add_cpu_time(self._training, spent - self._charged)
        except StoreUnavailable as error:  # the next charge includes it
            _log.warning("cannot charge the CPU time of training %s: %s", self._training.id, error)
            return True
        self._charged = spent
        return has_more
