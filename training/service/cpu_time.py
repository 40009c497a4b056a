"""CpuTime: the processor time of a training, over all processes that have worked on it."""

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

_SECONDS_BETWEEN_NOTES: Final = 1.0


class CpuTime:
    """Adds what this process takes, all its threads together, to what earlier ones have noted.

    A thread waiting for a processor takes none, so a training that yields to others is not charged
    for their work.
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
        """Write down the time so far. It is lost while the disk is full: the next note has it."""
        # Imported here for `job`, which lowers its priority first: it needs numpy.
        from prefixes.atomic import write_atomically  # noqa: PLC0415
        from prefixes.errors import StoreUnavailable  # noqa: PLC0415

        with suppress(StoreUnavailable):
            write_atomically(self._file, json.dumps(self.seconds), is_durable=False)

    def keep_noting(self) -> None:
        """Write it down every second, for as long as the process lives."""
        while True:
            self.note()
            time.sleep(_SECONDS_BETWEEN_NOTES)
