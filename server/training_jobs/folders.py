"""The folders of trainings: what their workers are given, and what they leave there."""

import json
import shutil
import time
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from prefixes.atomic import write_atomically
from prefixes.disk import make_folder
from prefixes.quarantine import Quarantine

_EVENTS: Final = "events.jsonl"
_PREFIX: Final = "prefix.safetensors"
_CHECKPOINT: Final = "checkpoint.pt"
_TAIL_BYTES: Final = 16 * 1024
"""More than an event takes: how much of the file is read to find the last one."""
_MAX_READ_BYTES: Final = 2**18
_ORPHAN_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a worker said; `end` is where its line ends, and the next one begins."""

    end: int
    kind: str
    facts: Mapping[str, Any]


class TrainingFolders:
    """One folder for each training, named by its id, beside the blobs of the store."""

    def __init__(self, store_folder: Path) -> None:
        store_folder = store_folder.absolute()
        self._root = store_folder / "trainings"
        self._quarantine = Quarantine(store_folder / "quarantine" / "trainings")

    def of(self, training_id: str) -> "TrainingFolder":
        """The folder of a training, whether it is there or not."""
        return TrainingFolder(self._root / training_id)

    def restore(self, known: AbstractSet[str]) -> None:
        """Bring back from quarantine the folders of trainings that the database knows.

        Raises:
            StoreUnavailable: when the disk fails.
        """
        for name in self._quarantine.names() & known:
            self._quarantine.restore(self._root / name)

    def sweep(self, known: AbstractSet[str]) -> None:
        """Quarantine folders that the database does not know, unless they may still be arriving.

        Raises:
            StoreUnavailable: when the disk fails.
        """
        if not self._root.is_dir():
            return
        for path in self._root.iterdir():
            if path.name not in known and path.stat().st_mtime < time.time() - _ORPHAN_SECONDS:
                self._quarantine.add(path)


@dataclass(frozen=True, slots=True)
class TrainingFolder:
    """What server and worker share of one training."""

    path: Path

    def make(self) -> None:
        """Make the folder, for its owner alone: it holds what the tenant has sent."""
        make_folder(self.path.parent)
        self.path.mkdir(mode=0o700)

    def remove(self) -> None:
        """Remove it with all that is in it; one that is gone already is as good."""
        shutil.rmtree(self.path, ignore_errors=True)

    def tidy(self) -> None:
        """Remove what is of no use once a training has ended: rows, live version, checkpoint."""
        rows = (self.path / name for name in self.rows().values())
        for path in (*rows, self.path / "live.safetensors", self.path / "out" / _CHECKPOINT):
            with suppress(OSError):  # it goes with the folder
                path.unlink(missing_ok=True)

    @property
    def log(self) -> Path:
        """What the worker printed, for the operator."""
        return self.path / "worker.log"

    @property
    def report(self) -> Path:
        return self.path / "out" / "report.json"

    @property
    def curve(self) -> Path:
        return self.path / "out" / "curve.png"

    def prefix(self) -> bytes:
        """The prefix file that the worker wrote."""
        return (self.path / "out" / _PREFIX).read_bytes()

    def rows(self) -> dict[str, str]:
        """The names of the labelled files, by what they are for."""
        parts = ("train", "validation", "test")
        return {part: path.name for part in parts for path in self.path.glob(f"{part}.*")}

    def begin(self, job: Mapping[str, Any], live: bytes | None) -> None:
        """Write what all workers of the training are to do."""
        if live is not None:
            write_atomically(self.path / "live.safetensors", live)
        write_atomically(self.path / "job.json", json.dumps({**job, "has_live": live is not None}))

    def job(self) -> dict[str, Any]:
        """What the worker was told to do."""
        found: dict[str, Any] = self._read("job.json") or {}
        return found

    def outcome(self) -> dict[str, Any] | None:
        """What the training came to; None while it has not come to an end."""
        found: dict[str, Any] | None = self._read("outcome.json")
        return found

    def spent_seconds(self) -> float:
        """The processor time of all workers and their threads, as the last of them noted it."""
        try:
            return float(self._read("spent.json") or 0)
        except ValueError:  # a power cut may leave it empty: noted too often to wait for the disk
            return 0.0

    def warnings(self) -> list[str]:
        """What the worker doubts about the rows, as far as it knows them."""
        found: list[str] = self._read("warnings.json") or []
        return found

    def data_summary(self) -> list[str]:
        """How the worker has read the rows; empty until it has, and where an older release did."""
        found: list[str] = self._read("data_summary.json") or []
        return found

    def last_progress(self) -> Event | None:
        """How far the worker was when it last said so."""
        size = self._num_event_bytes()
        events = self.events(max(0, size - _TAIL_BYTES))
        return next((event for event in reversed(events) if "step" in event.facts), None)

    def events(self, start: int) -> list[Event]:
        """What the worker has said from a byte of its file on; lines cut short are left out."""
        if start > self._num_event_bytes():
            start = 0
        events = []
        try:
            with (self.path / _EVENTS).open("rb") as file:
                file.seek(start)
                data = file.read(_MAX_READ_BYTES)
        except FileNotFoundError:
            return []
        end = start
        for line in data.splitlines(keepends=True):
            end += len(line)
            event = _event(line, end)
            if event is not None:
                events.append(event)
        return events

    def _num_event_bytes(self) -> int:
        try:
            return (self.path / _EVENTS).stat().st_size
        except FileNotFoundError:
            return 0

    def _read(self, name: str) -> Any:
        try:
            return json.loads((self.path / name).read_bytes())
        except FileNotFoundError:
            return None


def _event(line: bytes, end: int) -> Event | None:
    if not line.endswith(b"\n"):
        return None  # it is being written
    try:
        facts = json.loads(line)
    except ValueError:
        return None  # a kill has cut it short, or the seek has
    if not isinstance(facts, dict) or "event" not in facts:
        return None
    return Event(end, facts.pop("event"), facts)
