"""Small disks that can be filled: a real file system of some MiB, where the machine allows it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, num_mib: int) -> Iterator[Path]:
    """Mount a disk of that size on a folder, which is created; skip the test where that fails."""
    folder.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", f"size={num_mib}m", "tmpfs", str(folder))
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk needs the right to mount one")
    try:
        yield folder
    finally:
        subprocess.run(("umount", "--lazy", str(folder)), check=True)


def fill(disk: Path) -> Path:
    """Write a file until the disk is full; give it, so that it can be deleted again."""
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(disk).free))
    return ballast
