"""The changes of the database that the processes of one server have seen.

A front end that has answered a change must not have an older result served by another process.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from prefixes.registry import Database
from prefixes.registry.seen_changes import NUM_BYTES, SeenChanges
from server.settings import Settings

ENGINE_PLACE: Final = 0
"""The place of the engine's process. Front ends have the ones after it."""


@contextmanager
def shared_file() -> Iterator[int]:
    """Open a file in memory that front ends inherit; gives its descriptor."""
    if sys.platform == "linux":  # the file system may be read-only
        file = os.memfd_create("polyprefix-changes")
        with os.fdopen(file, "r+b"):
            os.truncate(file, NUM_BYTES)
            yield file
    else:
        with tempfile.TemporaryFile() as other:
            other.truncate(NUM_BYTES)
            yield other.fileno()


def follow_changes(database: Database, settings: Settings, file: int, place: int) -> None:
    """Follow the changes of a database, and share what this process has seen."""
    database.follow_changes(
        outage_seconds=settings.database_outage_seconds, seen=SeenChanges.shared(file, place)
    )
