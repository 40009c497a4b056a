"""Clock: the wall clock of a process, which can be set while it runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_LIBRARY = "*/faketime/libfaketimeMT.so.1"


@dataclass(frozen=True, slots=True)
class Clock:
    """A file with the difference to the real time, which libfaketime reads once a second.

    The monotonic clock stays as it is, as when an administrator or NTP sets a clock.
    """

    file: Path
    library: Path

    @classmethod
    def make(cls, file: Path) -> "Clock | None":
        """Make a clock that is right; None if libfaketime is not installed."""
        found = next(Path("/usr/lib").glob(_LIBRARY), None)
        if found is None:
            return None
        clock = cls(file, found)
        clock.shift(0)
        return clock

    @property
    def settings(self) -> Mapping[str, str]:
        """The environment of a process with this clock."""
        return {
            "LD_PRELOAD": str(self.library),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def shift(self, seconds: int) -> None:
        """Set the clock to the real time plus `seconds`."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n", encoding="ascii")
        new.rename(self.file)  # so that no half of it is read
