"""SpentTime: the processor time of a training, over all processes that have worked on it."""

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

_SECONDS_BETWEEN_NOTES: Final = 1.0


class SpentTime:
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
        """Write down the time so far, in one go: somebody may be reading."""
        partial = self._file.with_suffix(".partial")
        partial.write_text(json.dumps(self.seconds), encoding="ascii")
        partial.replace(self._file)

    def keep_noting(self) -> None:
        """Write it down every second, for as long as the process lives."""
        while True:
            self.note()
            time.sleep(_SECONDS_BETWEEN_NOTES)
