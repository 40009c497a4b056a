"""SpentTime: the processor time of a training, over all processes that have worked on it."""

import json
import threading
import time
from pathlib import Path
from typing import Final

_SECONDS_BETWEEN_NOTES: Final = 1.0


class SpentTime:
    """Adds what this process's main thread takes to what earlier ones have noted in a file.

    A thread waiting for a processor takes none, so a training that yields to others is not charged
    for their work. The main thread takes part in all that is computed: its time is about what the
    training would take on an idle machine, however many threads help.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._earlier: float = json.loads(file.read_bytes()) if file.exists() else 0.0
        main = threading.main_thread().ident
        assert main is not None
        self._clock = time.pthread_getcpuclockid(main)

    @property
    def seconds(self) -> float:
        return self._earlier + time.clock_gettime(self._clock)

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
