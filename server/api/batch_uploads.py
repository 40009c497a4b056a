"""Receives batch files: the format by the Content-Type, and the bytes into a folder."""

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, Final

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from prefixes.disk import disk, open_private
from server import media_types
from server.api.services import Services
from server.batch_files.errors import UnreadableFile
from server.batch_files.folders import BatchFolder
from server.batch_files.parquet_check import check_parquet
from server.batch_files.records import FileFormat
from server.errors import BadUpload

_FORMATS: Final[dict[str, FileFormat]] = {
    media_types.JSONL: "jsonl",
    media_types.NDJSON: "jsonl",
    media_types.PARQUET: "parquet",
}
_EXAMPLE: Final = (
    f"curl -T rows.jsonl -X POST -H 'Content-Type: {media_types.JSONL}' "
    "'http://127.0.0.1:8000/v1/batches?model=acme/spam'"
)

BATCH_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in _FORMATS},
    }
}
"""Describes the body for the OpenAPI document."""


def format_of(request: Request) -> FileFormat:
    """Return the format that the header of a request names.

    Raises:
        BadUpload: when it names none, or this server cannot read it.
    """
    header = request.headers.get("content-type", "")
    found = _FORMATS.get(header.partition(";")[0].strip().lower())
    if found is None:
        shown = repr(header[:80]) if header else "missing"
        raise BadUpload(
            f"The Content-Type is {shown}; expected {media_types.JSONL} or {media_types.PARQUET}. "
            f"Send the file as the body: `{_EXAMPLE}`."
        )
    if found == "parquet" and find_spec("pyarrow") is None:
        raise BadUpload(
            "This server cannot read Parquet: the package `pyarrow` is not installed. Send JSONL, "
            "or ask the operator to install the extra `parquet`."
        )
    return found


async def receive_rows(
    request: Request, services: Services, folder: BatchFolder, file_format: FileFormat
) -> int:
    """Write the body of a request into the folder, which is made. Returns its number of bytes.

    Raises:
        BadUpload: when the file is empty, or is not Parquet although it should be.
        ClientDisconnect: when the sender disconnects before the end.
    """
    path = folder.rows(file_format)
    file = await run_in_threadpool(partial(_create, folder, path))
    num_bytes = 0
    try:
        async for chunk in request.stream():
            if chunk:
                await run_in_threadpool(partial(_write, file, path, chunk))
                num_bytes += len(chunk)
    finally:
        await run_in_threadpool(file.close)
    if not num_bytes:
        raise BadUpload("The file is empty. Send at least one row.")
    if file_format == "parquet":
        await services.check(partial(_check, path))
    return num_bytes


def _create(folder: BatchFolder, path: Path) -> BinaryIO:
    with disk("write the rows of a batch to", path):
        folder.make()
        return open(path, "wb", buffering=0, opener=open_private)


def _write(file: BinaryIO, path: Path, data: bytes) -> None:
    rest = memoryview(data)
    with disk("write the rows of a batch to", path):
        while rest:
            rest = rest[file.write(rest) :]


def _check(path: Path) -> None:
    try:
        check_parquet(path)
    except UnreadableFile as error:
        raise BadUpload(str(error)) from error
