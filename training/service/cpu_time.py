"""CpuTime: the CPU time of a training, over all processes that have worked on it."""

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from prefixes.atomic import write_atomically
from prefixes.errors import StoreUnavailable

_SECONDS_BETWEEN_NOTES: Final = 1.0


class CpuTime:
    """Adds the CPU time of this process, all its threads together, to that of earlier ones.

    A thread that waits for a processor uses none, so a training that yields to other programs is
    not charged for their work.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._earlier = 0.0
        with suppress(FileNotFoundError, ValueError):  # a power cut may leave it empty
            self._earlier = float(json.loads(file.read_bytes()))

    @property
    def seconds(self) -> float:
        return self._earlier + time.process_time()

    def note(self) -> None:
        """Write the time so far. A note that a full disk rejects is lost; the next has it all."""
        with suppress(StoreUnavailable):
            write_atomically(self._file, json.dumps(self.seconds), is_durable=False)

    def keep_noting(self) -> None:
        """Write it every second, for as long as the process lives."""
        while True:
            self.note()
            time.sleep(_SECONDS_BETWEEN_NOTES)
