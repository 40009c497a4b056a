"""Quarantine: files and folders unknown to the registry, moved there instead of being deleted.

They keep their names, so that a database restored from a backup finds its files.
"""

import logging
from pathlib import Path

from prefixes.disk import disk, make_folder, sync_folder

_log = logging.getLogger(__name__)


class Quarantine:
    """A folder that is created when first needed. Safe to use from many processes.

    Every method raises StoreUnavailable when the disk fails.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> frozenset[str]:
        """List the names in quarantine."""
        with disk("list", self._folder):
            if not self._folder.is_dir():
                return frozenset()
            return frozenset(path.name for path in self._folder.iterdir())

    def add(self, path: Path) -> None:
        """Move a file or folder into quarantine."""
        target = self._folder / path.name
        with disk("quarantine", path):
            make_folder(self._folder)
            path.replace(target)
            sync_folder(self._folder)
        _log.warning("%s is unknown to the database and was moved to %s", path, target)

    def restore(self, path: Path) -> None:
        """Move the entry with this path's name back to the path, if it is in quarantine."""
        source = self._folder / path.name
        with disk("restore", path):
            if not source.exists():
                return
            make_folder(path.parent)
            try:
                source.replace(path)
            except FileNotFoundError:
                return  # another process restored it
            sync_folder(path.parent)
        _log.warning("%s is known to the database and was restored from %s", path, source)

    def remove(self, name: str) -> None:
        """Delete a file permanently, if it is in quarantine."""
        path = self._folder / name
        with disk("delete", path):
            path.unlink(missing_ok=True)
