"""Content codings: gzip bodies are unpacked as they arrive, large answers packed when asked for."""

import re
import zlib
from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipResponder
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PIECE_BYTES: Final = 64 * 1024
"""Unpacked at once: a bomb is refused after a piece, and no piece blocks the event loop."""
_MIN_BYTES: Final = 4096
_THREAD_BYTES: Final = 64 * 1024
"""Answers of this size are packed on a thread."""
_LEVEL: Final = 1
"""Higher ones take several times as long for a tenth less of numbers and labels."""
_PACKED_TYPES: Final = (b"application/json", b"application/problem+json", b"text/")
_GZIP: Final = re.compile(rb"(?:^|[,\s])gzip\s*(?!;\s*q=0(?:\.0*)?\s*(?:,|$))(?:[;,]|$)")


def unpacking(scope: Scope, receive: Receive) -> Receive:
    """Give what receives a body as it was before its sender packed it.

    Raises:
        HTTPException: when the sender names another coding than gzip.
    """
    coding = Headers(scope=scope).get("content-encoding", "identity").strip().lower()
    if coding == "identity":
        return receive
    if coding not in {"gzip", "x-gzip"}:
        detail = f"The body has the content coding {coding[:80]!r}: send it as it is, or as gzip"
        raise HTTPException(415, detail, {"Accept-Encoding": "gzip"})
    return GzipBody(receive).receive


class GzipBody:
    """Unpacks one body, a piece at a time."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._zip = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._packed = b""
        self._has_begun = False
        self._is_last = False

    async def receive(self) -> Message:
        """Give the next piece.

        Raises:
            HTTPException: when the body is not gzip, or not all of it.
        """
        while True:
            data = self._unpacked()
            if data:
                return {"type": "http.request", "body": data, "more_body": True}
            if self._is_last:
                self._check_end()
                return {"type": "http.request", "body": b"", "more_body": False}
            message = await self._receive()
            if message["type"] != "http.request":
                return message
            self._packed = message.get("body", b"")
            self._has_begun = self._has_begun or bool(self._packed)
            self._is_last = not message.get("more_body", False)

    def _unpacked(self) -> bytes:
        try:
            data = self._zip.decompress(self._packed, _PIECE_BYTES)
        except zlib.error as error:
            raise _not_gzip(str(error)) from error
        self._packed = self._zip.unconsumed_tail
        if self._zip.unused_data:
            raise _not_gzip("bytes follow its end")
        return data

    def _check_end(self) -> None:
        if self._has_begun and not self._zip.eof:
            raise _not_gzip("it ends early")


class Compression:
    """Packs answers with gzip when the caller accepts it and they are large enough to gain by it.

    Small answers pass with a look at their `Content-Length`, and streams, which have none. So do
    prefix files and pictures, which would not become smaller.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on; see the class."""
        if scope["type"] == "http" and _accepts_gzip(scope):
            send = _Choice(self._app, send).send
        await self._app(scope, receive, send)


class _Choice:
    """Decides for one answer, when its headers are there."""

    def __init__(self, app: ASGIApp, send: Send) -> None:
        self._app = app
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_worth_packing(message):
            packer = GZipResponder(self._app, _MIN_BYTES, _LEVEL, thread_minimum_size=_THREAD_BYTES)
            packer.send = self._send
            self._send = packer.send_with_compression
        await self._send(message)


def _accepts_gzip(scope: Scope) -> bool:
    return any(
        name == b"accept-encoding" and _GZIP.search(value.lower())
        for name, value in scope["headers"]
    )


def _is_worth_packing(start: Message) -> bool:
    """Tell from an answer's headers; one without a length is a stream."""
    length, kind = 0, b""
    for name, value in start["headers"]:
        if name == b"content-length":
            length = int(value)
        elif name == b"content-type":
            kind = value
    return length >= _MIN_BYTES and kind.startswith(_PACKED_TYPES)


def _not_gzip(reason: str) -> HTTPException:
    detail = f"The body is not the gzip that its Content-Encoding announces: {reason}"
    return HTTPException(400, detail, {"Connection": "close"})
