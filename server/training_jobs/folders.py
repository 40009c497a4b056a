"""The folders of training jobs: what workers receive, and what they leave."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from prefixes.atomic import write_atomically
from prefixes.registry import BucketSettings
from server.job_folders import JobFolder, JobFolders
from training.service.protocol.events import Event
from training.service.protocol.messages import Job, JobOutcome, parse_outcome
from training.service.protocol.worker import (
    CPU_SECONDS,
    DATA_SUMMARY,
    EVENTS,
    JOB,
    JOB_CHECKPOINT,
    JOB_CURVE,
    JOB_LESSONS,
    JOB_REPORT,
    LIVE_PREFIX,
    LOG,
    NEW_PREFIX,
    OUTCOME,
    ROW_PARTS,
    WARNINGS,
)

_TAIL_BYTES: Final = 16 * 1024
"""More than one event takes: how much of the file is read to find the last one."""
_MAX_READ_BYTES: Final = 2**18
_UNNEEDED: Final = frozenset({LIVE_PREFIX, JOB_CHECKPOINT})


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event and the byte at which its line ends and the next one starts."""

    event: Event
    end: int


@dataclass(frozen=True, slots=True)
class TrainingFolder(JobFolder):
    """The files that the server and the workers of one training share."""

    saved_last: ClassVar[str | None] = OUTCOME
    shown: ClassVar[frozenset[str]] = frozenset(
        {EVENTS, WARNINGS, DATA_SUMMARY, JOB_REPORT, JOB_CURVE}
    )

    def tidy(self) -> None:
        """Remove what a finished training does not need, such as its rows and its checkpoint."""
        self.discard(_is_unneeded)

    @property
    def log(self) -> Path:
        """The output of the workers, for the operator."""
        return self.path / LOG

    @property
    def report(self) -> Path:
        return self.path / JOB_REPORT

    @property
    def curve(self) -> Path:
        return self.path / JOB_CURVE

    def prefix(self) -> bytes:
        """Read the prefix file that a worker wrote."""
        return (self.path / NEW_PREFIX).read_bytes()

    def rows(self) -> dict[str, str]:
        """Return the names of the labeled files, by part."""
        return {part: path.name for part in ROW_PARTS for path in self.path.glob(f"{part}.*")}

    def begin(self, job: Job, live: bytes | None) -> None:
        """Write the job for all workers of the training, and the file of the live version."""
        if live is not None:
            write_atomically(self.path / LIVE_PREFIX, live)
        write_atomically(self.path / JOB, job.to_json())

    def job(self) -> Job | None:
        """Return the job; None before the training begins."""
        data = self._read(JOB)
        return None if data is None else Job.parse(data)

    def outcome(self) -> JobOutcome | None:
        """Return the outcome; None until a worker has written it."""
        data = self._read(OUTCOME)
        return None if data is None else parse_outcome(data)

    def cpu_seconds(self) -> float:
        """Return the CPU time of all workers and their threads, as the last of them wrote it."""
        try:
            return float(self._read_json(CPU_SECONDS) or 0)
        except ValueError:  # a power cut may leave it empty: it is written too often for a sync
            return 0.0

    def warnings(self) -> list[str]:
        """Return the warnings about the rows so far."""
        found: list[str] = self._read_json(WARNINGS) or []
        return found

    def data_summary(self) -> list[str]:
        """Return how the rows were read; empty until then, and for trainings of older releases."""
        found: list[str] = self._read_json(DATA_SUMMARY) or []
        return found

    def last_progress(self) -> Event | None:
        """Return the last event that reports progress."""
        size = self._num_event_bytes()
        stored = reversed(self.events(max(0, size - _TAIL_BYTES)))
        return next((one.event for one in stored if one.event.is_progress), None)

    def events(self, start: int) -> list[StoredEvent]:
        """Read events from a byte of their file on; lines that were cut short are skipped."""
        if start > self._num_event_bytes():
            start = 0
        try:
            with (self.path / EVENTS).open("rb") as file:
                file.seek(start)
                data = file.read(_MAX_READ_BYTES)
        except FileNotFoundError:
            return []
        events, end = [], start
        for line in data.splitlines(keepends=True):
            end += len(line)
            # A line without its break is still being written.
            event = Event.parse(line) if line.endswith(b"\n") else None
            if event is not None:
                events.append(StoredEvent(event, end))
        return events

    def _num_event_bytes(self) -> int:
        try:
            return (self.path / EVENTS).stat().st_size
        except FileNotFoundError:
            return 0

    def _read(self, name: str) -> bytes | None:
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None

    def _read_json(self, name: str) -> Any:
        data = self._read(name)
        return None if data is None else json.loads(data)


def _is_unneeded(name: str) -> bool:
    is_of_rows = name.partition(".")[0] in ROW_PARTS
    return is_of_rows or name in _UNNEEDED or name.startswith(JOB_LESSONS)


class TrainingFolders(JobFolders[TrainingFolder]):
    """The folders of all trainings."""

    def __init__(self, store_folder: Path, bucket: BucketSettings | None = None) -> None:
        super().__init__(store_folder, "trainings", TrainingFolder, bucket)
