"""Files that are uploaded and downloaded."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final

from polyprefix_client.requests import File

_PIECE_BYTES: Final = 2**16


def prefix_form(file: str | Path | bytes) -> Mapping[str, File]:
    """Return the part of a form that holds a prefix file."""
    if isinstance(file, bytes):
        return {"file": ("prefix.safetensors", file)}
    return {"file": row_file(file)}


def row_file(file: str | Path | File) -> File:
    """Return the name and the content of a file."""
    if isinstance(file, tuple):
        return file
    path = Path(file)
    return path.name, path.read_bytes()


def pieces_of(path: Path) -> Iterator[bytes]:
    """Read a file in pieces."""
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


def write_file(path: Path, data: bytes) -> None:
    """Write a file completely, or leave what was there."""
    with StagedFile(path) as staged:
        staged.write(data)


class StagedFile:
    """A file that appears under its name when the context ends without an exception."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._staged = path.with_name(f"{path.name}.{os.getpid()}.new")

    def __enter__(self) -> BinaryIO:
        self._file = self._staged.open("wb")
        return self._file

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._file.close()
            if kind is None:
                self._staged.replace(self._path)
        finally:
            self._staged.unlink(missing_ok=True)
