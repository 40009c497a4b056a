"""Compression: decompresses gzip request bodies, and compresses large responses."""

import re
import zlib
from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipResponder
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server import media_types

_PIECE_BYTES: Final = 64 * 1024
"""Size of a decompressed piece. A gzip bomb is rejected after a few of them, and decompressing
one does not block the event loop."""
_MIN_BYTES: Final = 4096
_THREAD_BYTES: Final = 64 * 1024
"""Responses of this size are compressed on a thread."""
_LEVEL: Final = 1
"""Higher levels take several times as long to make numbers and labels a tenth smaller."""
_COMPRESSED_TYPES: Final = (media_types.JSON.encode(), media_types.PROBLEM.encode(), b"text/")
_GZIP: Final = re.compile(rb"(?:^|[,\s])gzip\s*(?!;\s*q=0(?:\.0*)?\s*(?:,|$))(?:[;,]|$)")


def decompressing(scope: Scope, receive: Receive) -> Receive:
    """Return a function that receives the body decompressed.

    Raises:
        HTTPException: when the content coding is not gzip.
    """
    coding = Headers(scope=scope).get("content-encoding", "identity").strip().lower()
    if coding == "identity":
        return receive
    if coding not in {"gzip", "x-gzip"}:
        detail = (
            f"Unsupported content coding {coding[:80]!r}. Send the body uncompressed or as gzip."
        )
        raise HTTPException(415, detail, {"Accept-Encoding": "gzip"})
    return GzipBody(receive).receive


class GzipBody:
    """Decompresses one body, a piece at a time."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._zip = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._compressed = b""
        self._has_begun = False
        self._is_last = False

    async def receive(self) -> Message:
        """Receive the next piece.

        Raises:
            HTTPException: when the body is not valid gzip, or incomplete.
        """
        while True:
            data = self._decompressed()
            if data:
                return {"type": "http.request", "body": data, "more_body": True}
            if self._is_last:
                self._check_end()
                return {"type": "http.request", "body": b"", "more_body": False}
            message = await self._receive()
            if message["type"] != "http.request":
                return message
            self._compressed = message.get("body", b"")
            self._has_begun = self._has_begun or bool(self._compressed)
            self._is_last = not message.get("more_body", False)

    def _decompressed(self) -> bytes:
        try:
            data = self._zip.decompress(self._compressed, _PIECE_BYTES)
        except zlib.error as error:
            raise _not_gzip(str(error).rpartition(": ")[2]) from error
        self._compressed = self._zip.unconsumed_tail
        if self._zip.unused_data:
            raise _not_gzip("bytes follow its end")
        return data

    def _check_end(self) -> None:
        if self._has_begun and not self._zip.eof:
            raise _not_gzip("it ends early")


class Compression:
    """Compresses a response with gzip if the client accepts it and the response is large.

    Small responses pass after a look at their `Content-Length`, as do event streams, which have
    none. Prefix files and pictures pass, because they would not become smaller.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. See the class."""
        if scope["type"] == "http" and _accepts_gzip(scope):
            send = _Responder(self._app, send).send
        await self._app(scope, receive, send)


class _Responder:
    """Compresses one response or passes it on, depending on its headers."""

    def __init__(self, app: ASGIApp, send: Send) -> None:
        self._app = app
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_worth_compressing(message):
            compressor = GZipResponder(
                self._app, _MIN_BYTES, _LEVEL, thread_minimum_size=_THREAD_BYTES
            )
            compressor.send = self._send
            self._send = compressor.send_with_compression
        await self._send(message)


def _accepts_gzip(scope: Scope) -> bool:
    return any(
        name == b"accept-encoding" and _GZIP.search(value.lower())
        for name, value in scope["headers"]
    )


def _is_worth_compressing(start: Message) -> bool:
    """Return whether to compress a response. One without a length is a stream."""
    length, kind = 0, b""
    for name, value in start["headers"]:
        if name == b"content-length":
            length = int(value)
        elif name == b"content-type":
            kind = value
    return length >= _MIN_BYTES and kind.startswith(_COMPRESSED_TYPES)


def _not_gzip(reason: str) -> HTTPException:
    detail = (
        f"The body is not valid gzip, which its Content-Encoding names: {reason}. "
        "Compress it again."
    )
    return HTTPException(400, detail, {"Connection": "close"})
