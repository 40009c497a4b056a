"""Atomic writes, on disks that are really full."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from matplotlib.figure import Figure

from prefixes.atomic import atomic_file, atomic_folder, write_atomically
from prefixes.errors import StoreUnavailable
from tests.full_disk import FULL, small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that has room for 64 KiB."""
    with small_disk(tmp_path / "disk", kib=64) as folder:
        yield folder


def write_bytes(path: Path) -> None:
    write_atomically(path, bytes(2**20))


def write_checkpoint(path: Path) -> None:
    with atomic_file(path) as file:
        torch.save({"a": torch.zeros(2**18)}, file)


def write_picture(path: Path) -> None:
    with atomic_file(path) as file:
        Figure(figsize=(20, 20)).savefig(file, dpi=300)


def write_lines(path: Path) -> None:
    with atomic_file(path) as file:
        for _ in range(2**16):
            file.write(b"a line that is short\n")


WRITERS = [write_bytes, write_checkpoint, write_picture, write_lines]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("earlier", [None, b"earlier"])
def test_a_full_disk_leaves_what_was_there_and_no_more(
    disk: Path, write: Any, earlier: bytes | None
) -> None:
    path = disk / "result"
    if earlier is not None:
        path.write_bytes(earlier)
    with pytest.raises(StoreUnavailable, match=rf"Could not write .*result: {FULL}") as told:
        write(path)
    assert "\n" not in str(told.value)
    assert {file.name: file.read_bytes() for file in disk.iterdir()} == (
        {} if earlier is None else {"result": earlier}
    )


def test_a_full_disk_leaves_the_earlier_folder(disk: Path) -> None:
    path = disk / "model"
    with atomic_folder(path) as folder:
        (folder / "weights").write_bytes(b"earlier")
    with pytest.raises(StoreUnavailable, match=rf"model: {FULL}"), atomic_folder(path) as new:
        (new / "weights").write_bytes(bytes(2**20))
    assert [file.relative_to(disk).as_posix() for file in sorted(disk.rglob("*"))] == [
        "model",
        "model/weights",
    ]
    assert (path / "weights").read_bytes() == b"earlier"


def test_a_folder_replaces_an_earlier_one_and_what_a_crash_left(tmp_path: Path) -> None:
    for name in ("model", "model.partial", "model.replaced"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "old").write_bytes(b"")
    with atomic_folder(tmp_path / "model") as folder:
        (folder / "new").write_bytes(b"")
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == [
        "model",
        "model/new",
    ]


def test_a_block_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), atomic_file(tmp_path / "result") as file:
        file.write(bytes(1 // 0))
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fails_again_does_not_hide_the_first_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "fsync", fail)
    monkeypatch.setattr(Path, "unlink", fail)
    with pytest.raises(StoreUnavailable, match=r"Could not write .*result: Read-only file system"):
        write_atomically(tmp_path / "result", b"answer")


def test_other_failures_of_the_block_are_not_taken_for_a_disks(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="rows"), atomic_file(tmp_path / "result"):
        (tmp_path / "rows").read_bytes()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"gone/result: No such file"):
        write_atomically(tmp_path / "gone" / "result", b"")


def test_a_link_keeps_pointing_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    write_atomically(tmp_path / "link", "text: ä")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text(encoding="utf-8") == "text: ä"


def test_a_pipe_is_written_directly(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        write_atomically(pipe, b"answer")
        assert reader.communicate()[0] == b"answer"
    assert pipe.is_fifo()
