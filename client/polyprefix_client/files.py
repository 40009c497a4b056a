"""Files that are uploaded and downloaded."""

import os
from collections.abc import Mapping
from pathlib import Path

from polyprefix_client.requests import File


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


def write_file(path: Path, data: bytes) -> None:
    """Write a file completely, or leave what was there."""
    staged = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        staged.write_bytes(data)
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)
