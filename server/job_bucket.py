"""JobBucket: the files of all trainings, or of all batch files, in a bucket."""

import logging
import os
import shutil
import time
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prefixes.disk import disk, make_folder, modified
from prefixes.registry import BucketSettings
from server.job_mirrors import JobMirror

_ORPHAN_SECONDS: Final = 3600.0
_VIEW_SECONDS: Final = 2.0
"""Time for which the copies of a running job are shown before the bucket is asked again."""

_MAX_VIEWS: Final = 1000

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _View:
    """The local copies with which a job is shown."""

    mirror: JobMirror
    refreshed_at: float = float("-inf")
    is_final: bool = False


class JobBucket:
    """Every method raises StoreUnavailable when the bucket or the disk fails."""

    def __init__(
        self, settings: BucketSettings, store_folder: Path, name: str, paged: AbstractSet[str]
    ) -> None:
        """Open the bucket. `paged` are the names of files that are kept in pages.

        Raises:
            StoreUnavailable: when the package that it needs is not installed.
        """
        from prefixes.s3.bucket import Bucket  # noqa: PLC0415 - needs an optional package

        self._bucket: Bucket = Bucket(settings)
        self._name = name
        self._paged = paged
        self.running = store_folder / "copies" / name
        """The local folder for copies of jobs that this server creates or runs."""
        self._shown = store_folder / "shown" / name
        self._views: dict[str, _View] = {}

    def mirror(self, job_id: str) -> JobMirror:
        """Return the files of a job."""
        return JobMirror(self._bucket, f"{self._name}/{job_id}/", self._paged)

    def view(
        self, job_id: str, names: AbstractSet[str], *, is_final: bool
    ) -> tuple[Path, JobMirror]:
        """Return a folder with recent copies of the named files, and the files in the bucket."""
        path = self._shown / job_id
        if len(self._views) > _MAX_VIEWS:
            self._views.clear()
        view = self._views.setdefault(job_id, _View(self.mirror(job_id)))
        has_finished = is_final and not view.is_final  # the last files are shown at once
        if has_finished or time.monotonic() - view.refreshed_at > _VIEW_SECONDS:
            if names and not (view.is_final and path.is_dir()):
                view.mirror.refresh(path, names)
                view.is_final = is_final
            with disk("write", path):
                make_folder(path)
                os.utime(path)  # the time of the last use
            view.refreshed_at = time.monotonic()
        return path, view.mirror

    def restore(self, known: AbstractSet[str]) -> None:
        """Bring back from quarantine the files of jobs that the database has.

        Local copies that an earlier process of this server left are removed.
        """
        for folder in (self.running, self._shown):
            shutil.rmtree(folder, ignore_errors=True)
        quarantine = f"quarantine/{self._name}/"
        for job_id in self._bucket.folders(quarantine) & known:
            self._move(f"{quarantine}{job_id}/", f"{self._name}/{job_id}/")

    def sweep(self, known: AbstractSet[str]) -> None:
        """Quarantine the files of jobs that the database does not have, unless they are young."""
        self._remove_copies(known)
        for job_id in self._bucket.folders(f"{self._name}/") - known:
            prefix = f"{self._name}/{job_id}/"
            newest = max((one.modified for one in self._bucket.list(prefix)), default=float("inf"))
            if newest < time.time() - _ORPHAN_SECONDS:
                self._move(prefix, f"quarantine/{prefix}")

    def _remove_copies(self, known: AbstractSet[str]) -> None:
        """Remove copies of jobs that are gone, or that no process has shown for an hour."""
        if not self._shown.is_dir():
            return
        for path in self._shown.iterdir():
            if path.name not in known or modified(path) < time.time() - _ORPHAN_SECONDS:
                shutil.rmtree(path, ignore_errors=True)

    def _move(self, source: str, target: str) -> None:
        for one in list(self._bucket.list(source)):
            self._bucket.move(one.key, target + one.key.removeprefix(source))
        _log.warning("moved %s to %s", self._bucket.url(source), self._bucket.url(target))
