"""Disks that are really full, and what must be true of them afterwards."""

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

FULL: Final = "(No space left on device|File too large)"


@contextmanager
def small_disk(folder: Path, *, kib: int) -> Iterator[Path]:
    """Mount a file system with room for so much; without root, limit the size of each file."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)]
    if (
        os.geteuid() == 0
        and subprocess.run(mount, check=False, capture_output=True).returncode == 0
    ):
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)
    else:
        with _small_files(kib * 1024):
            yield folder


@contextmanager
def mounted_disk(folder: Path, *, kib: int) -> Iterator[Path]:
    """Mount a file system with room for so much; without root, skip the test."""
    with small_disk(folder, kib=kib) as disk:
        if not disk.is_mount():
            pytest.skip("only root can mount a disk, to fill it bit by bit")
        yield disk


@contextmanager
def _small_files(num_bytes: int) -> Iterator[None]:
    """Limit the files that this process and its children write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def fill(disk: Path) -> Path:
    """Write a file until the disk is full; give it, so that it can be deleted again."""
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(disk).free))
    return ballast
