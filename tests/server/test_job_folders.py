"""The folders of jobs: which of them are swept."""

import os
import time
from pathlib import Path

import pytest

from server.job_folders import JobFolder, JobFolders


@pytest.mark.parametrize("place", ["rows.jsonl", "checkpoints/step"])
def test_a_folder_is_kept_while_its_upload_takes_hours(tmp_path: Path, place: str) -> None:
    now = time.time()
    folders = JobFolders(tmp_path, "jobs", JobFolder, clock=lambda: now)
    folder = folders.of("0" * 32)
    folder.make()
    file = folder.path / place
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"the first piece")
    for _ in range(3):
        now += 3000
        os.utime(file, (now, now))  # a further piece
        folders.sweep(frozenset())
        assert folder.path.exists()
    now += 3601
    folders.sweep(frozenset({"0" * 32}))
    assert folder.path.exists()
    folders.sweep(frozenset())
    assert not folder.path.exists()
