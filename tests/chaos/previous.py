"""An earlier version of the program, from the history of this repository."""

import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.server.hosting.processes import ROOT

_MIGRATIONS: Final = "prefixes/registry/migrations/versions/"


def unpack_previous(folder: Path) -> Path:
    """Unpack the newest program whose migrations are the first ones of today's, but not all.

    Migrations that were developed side by side were put in order afterwards, so not every commit
    before the newest one has such a schema. Skips the test without a full clone.
    """
    archive = folder / "previous.tar"
    archive.write_bytes(_git("archive", _previous_commit()))
    code = folder / "previous"
    code.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", code], check=True)
    return code


def _previous_commit() -> str:
    present = _migrations("HEAD")
    added = _git("log", "--diff-filter=A", "--format=%H", "--", _MIGRATIONS).decode().split()
    for commit in added:
        earlier = _migrations(f"{commit}~1")
        if earlier != present and earlier == present[: len(earlier)]:
            return f"{commit}~1"
    raise AssertionError("no earlier commit has the first migrations of today")


def _migrations(commit: str) -> list[str]:
    return sorted(_git("ls-tree", "--name-only", commit, _MIGRATIONS).decode().split())


def _git(*arguments: str) -> bytes:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"needs the history of the repository: {done.stderr.decode()}")
    return done.stdout
