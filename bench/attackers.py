"""The clients of attacks: raw requests that stall or exceed limits, and ordinary ones."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

MIB: Final = 2**20
BODY_BYTES: Final = 4 * MIB
"""The default limit of a JSON body."""
_ANSWER_SECONDS: Final = 40.0


def head(path: str, key: str | None, *headers: str, method: str = "POST") -> bytes:
    """Return the request line and headers of a request."""
    keyed = [f"Authorization: Bearer {key}"] if key else []
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *keyed, *headers, "", ""]).encode()


class Attacker:
    """One connection that sends given bytes and records the status of the response."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.status: int | None = None
        self.is_closed = False
        self.has_sent = asyncio.Event()

    async def run(self, data: Callable[[], Iterator[bytes]]) -> None:
        """Send all bytes, then wait for a response or for the end of the connection."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            self.is_closed = True
            self.has_sent.set()
            return
        listening = asyncio.create_task(self._listen(reader))
        try:
            with contextlib.suppress(OSError):
                for piece in data():
                    if listening.done():
                        break
                    writer.write(piece)
                    await writer.drain()
            self.has_sent.set()
            await listening
        finally:
            self.has_sent.set()
            listening.cancel()
            writer.close()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            line = await reader.readline()
            if line:
                self.status = int(line.split()[1])
        self.is_closed = True


async def ask(port: int, request: bytes) -> str:
    """Send an ordinary request; return its status, or how the connection ended."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            line = await reader.readline()
            writer.close()
    except TimeoutError:
        return "no answer"
    except OSError as error:
        return type(error).__name__
    return line.split()[1].decode() if line else "closed"


def classify(key: str | None) -> bytes:
    body = json.dumps({"model": "examples/spam", "input": "See you at lunch? " * 20}).encode()
    return (
        head("/v1/classify", key, "Content-Type: application/json", f"Content-Length: {len(body)}")
        + body
    )


def upload(tenant: str, key: str) -> bytes:
    """An upload of an invalid file: 422 as soon as the server reads it."""
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nx\r\n--b--\r\n'
    kind = "Content-Type: multipart/form-data; boundary=b"
    path = f"/v1/tenants/{tenant}/prefixes/t/versions"
    return head(path, key, kind, f"Content-Length: {len(form)}") + form


def stalled_body() -> Iterator[bytes]:
    """A body that stops one byte before its end."""
    yield head("/v1/classify", None, "Content-Type: application/json",
               f"Content-Length: {BODY_BYTES}")  # fmt: skip
    for _ in range(BODY_BYTES // 2**16 - 1):
        yield b" " * 2**16
    yield b" " * (2**16 - 1)


def oversized_body() -> Iterator[bytes]:
    """A chunked body that exceeds its limit."""
    yield head("/v1/classify", None, "Content-Type: application/json",
               "Transfer-Encoding: chunked")  # fmt: skip
    for _ in range(BODY_BYTES // 2**16 + 2):
        yield b"10000\r\n" + b" " * 2**16 + b"\r\n"


def stalled_upload(tenant: str, key: str) -> Iterator[bytes]:
    path = f"/v1/tenants/{tenant}/prefixes/t/versions"
    yield head(path, key, "Content-Type: multipart/form-data; boundary=b", "Content-Length: 500000")
    yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + b"x" * 1000


def statuses(attackers: list[Attacker]) -> str:
    counts = Counter(
        str(one.status or ("closed" if one.is_closed else "open")) for one in attackers
    )
    return str(dict(counts))
