"""FolderSaves: saves the files of a running training now and then."""

import logging
from typing import Final

from prefixes.errors import StoreUnavailable
from server.training_jobs.clock import Clock
from server.training_jobs.folders import TrainingFolder

_SECONDS_BETWEEN_SAVES: Final = 10.0

_log = logging.getLogger(__name__)


class FolderSaves:
    """If the server dies, another one repeats what came after the last save.

    Where no other server could use the files, a save does nothing.
    """

    def __init__(self, folder: TrainingFolder, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._next = float("-inf")

    def save_if_due(self) -> None:
        """Save, unless this was done a short time ago. The next save makes up for an error."""
        if self._clock.monotonic() < self._next:
            return
        self._next = self._clock.monotonic() + _SECONDS_BETWEEN_SAVES
        try:
            self._folder.save()
        except StoreUnavailable as error:
            _log.warning("cannot save the files of a running training: %s", error)
