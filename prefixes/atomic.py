"""Atomic writes: a file or folder appears under its name completely or not at all.

The data is written to `NAME.partial` next to the target, flushed to disk, and then renamed in one
step. A full disk or a crash never leaves a partial file under the final name.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter, FileIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from safetensors import SafetensorError

from prefixes.disk import disk, open_private, sync_folder

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Recorder(FileIO):
    """A file that records its first failed write.

    Libraries hide that error: on a full disk, torch.save raises a RuntimeError about positions.
    """

    failure: OSError | None = None

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.failure = self.failure or error
            raise


def write_atomically(
    path: Path, data: bytes | str, *, is_durable: bool = True, is_private: bool = False
) -> None:
    """Replace the content of a file; text is written as UTF-8.

    Args:
        path: the file, in a folder that exists.
        data: all of its content.
        is_durable: whether the content survives a power failure; if false, that may leave the file
            empty.
        is_private: whether only the owner may read it.

    Raises:
        StoreUnavailable: when the file cannot be written. An earlier file stays unchanged.
    """
    with atomic_file(path, is_durable=is_durable, is_private=is_private) as file:
        file.write(data.encode() if isinstance(data, str) else data)


@contextmanager
def atomic_file(
    path: Path, *, is_durable: bool = True, is_private: bool = False
) -> Iterator[BinaryIO]:
    """Open a file that replaces `path` at the end of the block; an exception discards it.

    A device or a pipe, such as /dev/stdout, is written directly.

    Raises:
        StoreUnavailable: when the file cannot be written. An earlier file stays unchanged.
    """
    target = Path(os.path.realpath(path))  # a link keeps pointing to its file
    is_replaced = target.is_file() or not target.exists()
    partial = _sibling(target, "partial") if is_replaced else target
    with disk("write", path):
        raw = _Recorder(partial, "w", opener=open_private if is_private else None)
    try:
        with BufferedWriter(raw) as file:
            yield file
            with disk("write", path):
                _complete(file, is_durable=is_durable and is_replaced)
        if is_replaced:
            with disk("write", path):
                partial.replace(target)
                if is_durable:
                    sync_folder(target.parent)
    except BaseException as error:
        if is_replaced:
            with suppress(OSError):  # a disk that fails again would hide the first error
                partial.unlink()  # frees the space, which a full disk needs
        if raw.failure is not None:
            with disk("write", path):
                raise raw.failure from error
        raise


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Create an empty folder that replaces `path` at the end of the block; an exception removes it.

    Raises:
        StoreUnavailable: when its content cannot be written. An earlier folder stays unchanged.
    """
    partial, replaced = _sibling(path, "partial"), _sibling(path, "replaced")
    for left_by_a_crash in (partial, replaced):
        shutil.rmtree(left_by_a_crash, ignore_errors=True)
    try:
        with disk("write", path), _unwrapped():
            partial.mkdir(parents=True)
            yield partial
            _sync_all(partial)
            if path.exists():
                path.rename(replaced)  # a folder cannot replace one that is not empty
            partial.rename(path)
            sync_folder(path.parent)
    finally:
        for folder in (partial, replaced):
            shutil.rmtree(folder, ignore_errors=True)


def _complete(file: BinaryIO, *, is_durable: bool) -> None:
    file.flush()
    if is_durable:
        os.fsync(file.fileno())


def _sync_all(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_dir():
            sync_folder(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _sibling(path: Path, suffix: str) -> Path:
    return path.with_name(f"{path.name}.{suffix}")


@contextmanager
def _unwrapped() -> Iterator[None]:
    """Convert an operating system error that safetensors reports as text back to an OSError."""
    try:
        yield
    except SafetensorError as error:
        found = re.search(r"os error (\d+)", str(error))
        if found is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1]))) from error
