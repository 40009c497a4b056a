"""Batch files on the server: add, follow and cancel them, and read their results."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from polyprefix_client._async.concurrency import sleep
from polyprefix_client._async.pages import items_of
from polyprefix_client._async.transport import AsyncTransport
from polyprefix_client.batches import Batch, LineSplitter, media_type_of
from polyprefix_client.errors import ApiError, BatchFailed, ConnectionFailed, DeadlineExceeded
from polyprefix_client.files import StagedFile, pieces_of
from polyprefix_client.names import segment
from polyprefix_client.requests import Call, get, value_of

_POLL_SECONDS = 1.0
_AT_END = 416
"""Status of a request that continues after the last byte."""


class AsyncBatches:
    """The batch files of the tenant whose key the client has."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def add(self, file: str | Path, *, model: str | None = None, **options: Any) -> Batch:
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
        return value_of(await self._transport.send(call), Batch)

    def list(self) -> AsyncIterator[Batch]:
        """Yield the batches, the latest first."""
        return items_of(self._transport, get("/v1/batches"), "batches", Batch)

    async def show(self, batch_id: str) -> Batch:
        """Show a batch: its state and its progress."""
        return value_of(await self._transport.send(get(_path(batch_id))), Batch)

    async def wait(
        self, batch_id: str, *, on_progress: Callable[[Batch], object] | None = None
    ) -> Batch:
        """Wait until a batch has succeeded, and return it. Rows may have failed nevertheless.

        Args:
            batch_id: the batch.
            on_progress: called once a second with the batch.

        Raises:
            BatchFailed: when it has failed or was canceled.
        """
        found = await self.show(batch_id)
        while True:
            if on_progress is not None:
                on_progress(found)
            if found.is_finished:
                break
            await sleep(_POLL_SECONDS)
            found = await self.show(batch_id)
        if found.state != "succeeded":
            raise BatchFailed(found)
        return found

    async def cancel(self, batch_id: str) -> Batch:
        """Cancel a batch. One that has finished stays as it is."""
        call = Call("POST", f"{_path(batch_id)}/cancel", is_idempotent=True)
        return value_of(await self._transport.send(call), Batch)

    async def delete(self, batch_id: str) -> None:
        """Delete a batch that does not run, and its results."""
        await self._transport.send(Call("DELETE", _path(batch_id)))

    async def results(self, batch_id: str) -> AsyncIterator[dict[str, Any]]:
        """Yield the results so far, in the order of the rows. Failed rows have `error`."""
        async for line in self._lines(batch_id):
            yield json.loads(line)

    async def download(self, batch_id: str, path: str | Path) -> None:
        """Write the results so far to a file, completely or not at all."""
        with StagedFile(Path(path)) as staged:
            async for line in self._lines(batch_id):
                staged.write(line + b"\n")

    async def _lines(self, batch_id: str) -> AsyncIterator[bytes]:
        """Yield the lines of the results. A broken download continues where it ended."""
        splitter, num_failures = LineSplitter(), 0
        while True:
            try:
                async for line in self._stream(batch_id, splitter):
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
                await sleep(self._transport.retries.wait_before(num_failures))
            else:
                return

    async def _stream(self, batch_id: str, splitter: LineSplitter) -> AsyncIterator[bytes]:
        headers = {"Accept-Encoding": "identity", **splitter.headers()}
        call = Call("GET", f"{_path(batch_id)}/results", headers=headers)
        async with self._transport.stream(call) as response:
            async for piece in response.aiter_bytes():
                for line in splitter.feed(piece):
                    yield line


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    for piece in pieces_of(path):
        yield piece


def _path(batch_id: str) -> str:
    return f"/v1/batches/{segment(batch_id)}"
