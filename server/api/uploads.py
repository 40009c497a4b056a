"""Reads an upload: a multipart body, streamed into the store's staging as it arrives.

FastAPI's own forms are not used: they take in the whole body before anything else happens, first
to a temporary file of their own.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from prefixes.registry import Staged
from server.errors import BadUpload, Overloaded

_MAX_ALIAS_BYTES: Final = 200
_HOW: Final = (
    "expected multipart/form-data with one `file` and at most one `alias`, as in "
    "`curl -F file=@task.safetensors`"
)


_MAX_UPLOADS: Final = 128
_MAX_UPLOADS_PER_TENANT: Final = 4
_RETRY_SECONDS: Final = 5


class UploadSlots:
    """How many uploads may be on their way at once: each takes disk, and later memory."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    @contextmanager
    def take(self, tenant: str) -> Iterator[None]:
        """Count an upload of a tenant in, and out again.

        Raises:
            Overloaded: when the tenant, or all together, have as many as there may be.
        """
        if self._taken[tenant] >= _MAX_UPLOADS_PER_TENANT or self._taken.total() >= _MAX_UPLOADS:
            raise Overloaded(
                f"{self._taken[tenant]} uploads of {tenant} are on their way, and "
                f"at most {_MAX_UPLOADS_PER_TENANT} may be, and {_MAX_UPLOADS} of all tenants: "
                "come back later",
                retry_after_seconds=_RETRY_SECONDS,
            )
        self._taken[tenant] += 1
        try:
            yield
        finally:
            self._taken[tenant] -= 1
            if not self._taken[tenant]:
                del self._taken[tenant]


@dataclass(frozen=True, slots=True)
class UploadForm:
    """What an upload says beside its file, whose bytes are in the staging by now."""

    alias: str | None


async def receive_upload(request: Request, staged: Staged) -> UploadForm:
    """Stream the body's file into `staged`, a piece at a time.

    Raises:
        BadUpload: when the body is no such form, or ends early.
        PrefixRejected: when the file is larger than the store takes.
        ClientDisconnect: when the sender left midway.
    """
    form = _Form()
    parser = _parser(request.headers.get("content-type", ""), form)
    async for chunk in request.stream():
        try:
            parser.write(chunk)
        except FormParserError as error:
            raise BadUpload(f"The multipart body is damaged ({error}): {_HOW}") from error
        if form.pending:
            await run_in_threadpool(staged.write, bytes(form.pending))
            form.pending.clear()
    if not form.is_complete:
        raise BadUpload("The multipart body ends early: send it again, whole")
    if "file" not in form.seen:
        raise BadUpload(f"The form has no `file`: {_HOW}")
    if "alias" not in form.seen:
        return UploadForm(alias=None)
    return UploadForm(alias=form.alias.decode("utf-8", errors="replace"))


@dataclass(slots=True)
class _Form:
    """What the parser has told so far. `pending` are bytes of the file not yet written."""

    pending: bytearray = field(default_factory=bytearray)
    alias: bytearray = field(default_factory=bytearray)
    seen: set[str] = field(default_factory=set)
    is_complete: bool = False
    _part: str = ""
    _header: bytearray = field(default_factory=bytearray)
    _value: bytearray = field(default_factory=bytearray)
    _disposition: bytes = b""

    def on_part_begin(self) -> None:
        self._disposition = b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("utf-8", errors="replace")
        if name not in {"file", "alias"} or name in self.seen:
            kind = "second" if name in self.seen else "unknown"
            raise BadUpload(f"The form has a {kind} field {name[:80]!r}: {_HOW}")
        self.seen.add(name)
        self._part = name

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._part == "file":
            self.pending += data[start:end]
            return
        self.alias += data[start:end]
        if len(self.alias) > _MAX_ALIAS_BYTES:
            raise BadUpload(f"The alias has more than {_MAX_ALIAS_BYTES} bytes")

    def on_end(self) -> None:
        self.is_complete = True


def _parser(content_type: str, form: _Form) -> MultipartParser:
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise BadUpload(f"The body is {content_type[:80] or 'of no type'!r}: {_HOW}")
    try:
        return MultipartParser(
            boundary,
            {
                "on_part_begin": form.on_part_begin,
                "on_header_field": form.on_header_field,
                "on_header_value": form.on_header_value,
                "on_header_end": form.on_header_end,
                "on_headers_finished": form.on_headers_finished,
                "on_part_data": form.on_part_data,
                "on_end": form.on_end,
            },
        )
    except FormParserError as error:
        raise BadUpload(f"The multipart boundary is refused ({error}): {_HOW}") from error
