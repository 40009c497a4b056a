"""CrashJournal: which rows were in flight when the process was killed, and how often.

A row can kill the process, such as one for which a library crashes. Without a bound, each start
would run it again and be killed again, and every tenant would be without a server.
"""

import json
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Self

from prefixes.atomic import write_atomically
from prefixes.errors import StoreUnavailable
from server.batch_files.errors import BatchFailed

_KILLS_BEFORE_ALONE: Final = 2
"""Rows that were in flight at so many kills run one at a time, to find the one that kills."""
_KILLS_OF_A_ROW: Final = 3
"""A row that was in flight at so many kills, alone at the last one, fails."""
_MAX_KILLS: Final = 5
"""A file fails if it makes no progress in so many runs, such as when counting its rows kills."""
_MAX_FAILED_ROWS: Final = 3
"""A file fails at the next row that kills: it has killed the process several times for each."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """Rows from `first` to before `end`, and the number of kills at which they were in flight.

    `is_running` is false after a run that ended in order: a kill after it is not about these rows.
    `failed` are the rows that killed the process.
    """

    first: int = 0
    end: int = 0
    kills: int = 0
    is_running: bool = False
    failed: tuple[int, ...] = ()


class CrashJournal:
    """The journal of one run of a batch file, in the folder of the file.

    A killed process leaves its last entry, as written: only a power failure can lose it.
    """

    def __init__(self, path: Path, entry: _Entry) -> None:
        self._path = path
        self._suspects = self._entry = entry

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the entry of the run before, and begin a new one.

        Raises:
            BatchFailed: when the file has killed the process too often.
            StoreUnavailable: when the disk fails.
        """
        journal = cls(path, _after_kill(_load(path)))
        journal._write(replace(journal._suspects, is_running=True))
        return journal

    @property
    def failed(self) -> Collection[int]:
        """The rows that killed the process. They must not run again."""
        return self._entry.failed

    @property
    def is_after_kill(self) -> bool:
        """Whether rows that this run may repeat were in flight at a kill."""
        return self._suspects.kills > 0

    def must_run_alone(self, index: int) -> bool:
        """Return whether a row may run only while no other one is in flight."""
        return self._suspects.kills >= _KILLS_BEFORE_ALONE and index < self._suspects.end

    def begin(self, first: int, end: int) -> None:
        """Note that rows are about to be read and to run.

        Raises:
            StoreUnavailable: when the disk fails.
        """
        kills = self._suspects.kills if first < self._suspects.end else 0
        self._write(replace(self._entry, first=first, end=end, kills=kills))

    def close(self) -> None:
        """Note that the run ended in order."""
        with suppress(StoreUnavailable):  # the next run counts a kill: one alone is harmless
            self._write(replace(self._entry, is_running=False))

    def _write(self, entry: _Entry) -> None:
        write_atomically(self._path, json.dumps(asdict(entry)), is_durable=False, is_private=True)
        self._entry = entry


def _load(path: Path) -> _Entry:
    try:
        entry = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):  # none yet, or a power failure has emptied it
        return _Entry()
    return _Entry(**entry | {"failed": tuple(entry["failed"])})


def _after_kill(entry: _Entry) -> _Entry:
    """Count a kill during the run of an entry, if there was one."""
    if not entry.is_running:
        return entry
    entry = replace(entry, kills=entry.kills + 1)
    is_one_row = entry.end - entry.first == 1
    if is_one_row and entry.kills >= _KILLS_OF_A_ROW:
        if entry.first in entry.failed or len(entry.failed) == _MAX_FAILED_ROWS:
            raise _failure(f"at row {entry.first}")
        return _Entry(failed=(*entry.failed, entry.first))
    if entry.kills >= _MAX_KILLS:
        raise _failure(f"{entry.kills} times after row {entry.first}")
    return entry


def _failure(where: str) -> BatchFailed:
    detail = (
        f"The server's process ended {where} while it ran this batch. Its log may have the reason. "
        "Download the results so far, and send the other rows without these."
    )
    return BatchFailed(500, "internal_error", detail)
