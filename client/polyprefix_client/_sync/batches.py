# Generated from _async/batches.py by generate_sync.py. Change that file instead.
"""Batch files on the server: add, follow and cancel them, and read their results."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from polyprefix_client._sync.concurrency import sleep
from polyprefix_client._sync.pages import items_of
from polyprefix_client._sync.transport import Transport
from polyprefix_client.batches import Batch, LineSplitter, media_type_of
from polyprefix_client.errors import ApiError, BatchFailed, ConnectionFailed, DeadlineExceeded
from polyprefix_client.files import StagedFile, pieces_of
from polyprefix_client.names import segment
from polyprefix_client.requests import Call, get, value_of

_POLL_SECONDS = 1.0
_AT_END = 416
"""Status of a request that continues after the last byte."""


class Batches:
    """The batch files of the tenant whose key the client has."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def add(self, file: str | Path, *, model: str | None = None, **options: Any) -> Batch:
        """Send a file of rows, which the server answers in the background.

        Args:
            file: rows as JSON lines, or as Parquet if its name ends in `.parquet`.
            model: the prefix of rows that do not name one in `model`.
            options: options of all rows, such as `top_k`.
        """
        path = Path(file)
        call = Call(
            "POST",
            "/v1/batches",
            {"model": model, **options},
            content=lambda: _pieces(path),
            headers={"Content-Type": media_type_of(path)},
        )
        return value_of(self._transport.send(call), Batch)

    def list(self) -> Iterator[Batch]:
        """Yield the batches, the latest first."""
        return items_of(self._transport, get("/v1/batches"), "batches", Batch)

    def show(self, batch_id: str) -> Batch:
        """Show a batch: its state and its progress."""
        return value_of(self._transport.send(get(_path(batch_id))), Batch)

    def wait(self, batch_id: str, *, on_progress: Callable[[Batch], object] | None = None) -> Batch:
        """Wait until a batch has succeeded, and return it. Rows may have failed nevertheless.

        Args:
            batch_id: the batch.
            on_progress: called once a second with the batch.

        Raises:
            BatchFailed: when it has failed or was canceled.
        """
        found = self.show(batch_id)
        while True:
            if on_progress is not None:
                on_progress(found)
            if found.is_finished:
                break
            sleep(_POLL_SECONDS)
            found = self.show(batch_id)
        if found.state != "succeeded":
            raise BatchFailed(found)
        return found

    def cancel(self, batch_id: str) -> Batch:
        """Cancel a batch. One that has finished stays as it is."""
        call = Call("POST", f"{_path(batch_id)}/cancel", is_idempotent=True)
        return value_of(self._transport.send(call), Batch)

    def delete(self, batch_id: str) -> None:
        """Delete a batch that does not run, and its results."""
        self._transport.send(Call("DELETE", _path(batch_id)))

    def results(self, batch_id: str) -> Iterator[dict[str, Any]]:
        """Yield the results so far, in the order of the rows. Failed rows have `error`."""
        for line in self._lines(batch_id):
            yield json.loads(line)

    def download(self, batch_id: str, path: str | Path) -> None:
        """Write the results so far to a file, completely or not at all."""
        with StagedFile(Path(path)) as staged:
            for line in self._lines(batch_id):
                staged.write(line + b"\n")

    def _lines(self, batch_id: str) -> Iterator[bytes]:
        """Yield the lines of the results. A broken download continues where it ended."""
        splitter, num_failures = LineSplitter(), 0
        while True:
            try:
                for line in self._stream(batch_id, splitter):
                    num_failures = 0
                    yield line
            except ApiError as error:
                if error.status != _AT_END:
                    raise
                return
            except (ConnectionFailed, DeadlineExceeded):
                num_failures += 1
                if num_failures >= self._transport.retries.max_attempts:
                    raise
                sleep(self._transport.retries.wait_before(num_failures))
            else:
                return

    def _stream(self, batch_id: str, splitter: LineSplitter) -> Iterator[bytes]:
        headers = {"Accept-Encoding": "identity", **splitter.headers()}
        call = Call("GET", f"{_path(batch_id)}/results", headers=headers)
        with self._transport.stream(call) as response:
            for piece in response.iter_bytes():
                for line in splitter.feed(piece):
                    yield line


def _pieces(path: Path) -> Iterator[bytes]:
    for piece in pieces_of(path):
        yield piece


def _path(batch_id: str) -> str:
    return f"/v1/batches/{segment(batch_id)}"
