"""Reads multipart forms: the bytes of each file go where the route keeps them, as they arrive.

FastAPI's own forms are not used. They receive the whole body before anything else happens, and
first write it to temporary files of their own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from server import media_types
from server.errors import BadUpload

Write = Callable[[bytes], object]
OpenFile = Callable[[str, str], Write]
"""Takes the name of a part and its file name, and returns what writes its bytes on a thread."""


@dataclass(frozen=True, slots=True)
class FormPart:
    """One part of a form: a file, or a text of at most `max_bytes`.

    `schema` describes it in the OpenAPI document.
    """

    name: str
    schema: Mapping[str, Any]
    is_file: bool = False
    is_required: bool = False
    max_bytes: int = 200


@dataclass(frozen=True, slots=True)
class Form:
    """The parts that a route accepts, each at most once; `example` is a call of curl."""

    parts: tuple[FormPart, ...]
    example: str

    def openapi(self) -> dict[str, Any]:
        """Describe the request body for the OpenAPI document."""
        schema = {
            "type": "object",
            "required": [part.name for part in self.parts if part.is_required],
            "additionalProperties": False,
            "properties": {part.name: _schema(part) for part in self.parts},
        }
        return {
            "requestBody": {"required": True, "content": {media_types.FORM: {"schema": schema}}}
        }

    async def receive(self, request: Request, open_file: OpenFile) -> dict[str, str]:
        """Stream the files of a request's body to their writers, and return its texts by name.

        A byte that is not UTF-8 becomes half a surrogate pair, which the checks of names and of
        JSON reject.

        Raises:
            BadUpload: when the body is not such a form, lacks a required file, or ends early.
            ClientDisconnect: when the sender disconnects before the end.
        """
        reader = _FormReader(self, open_file)
        parser = self._parser(request.headers.get("content-type", ""), reader)
        async for chunk in request.stream():
            try:
                parser.write(chunk)
            except FormParserError as error:
                raise BadUpload(f"The multipart body is damaged: {error}. {self.usage}") from error
            if reader.pending:
                await run_in_threadpool(reader.write_pending)
        if not reader.is_complete:
            raise BadUpload("The multipart body ends early. Send the whole body again.")
        for part in self.parts:
            if part.is_required and part.name not in reader.seen:
                raise BadUpload(f"The form has no `{part.name}`. {self.usage}")
        return {name: _text(data) for name, data in reader.texts.items()}

    @property
    def usage(self) -> str:
        """Say what is expected, as the end of an error message."""
        names = ", ".join(f"`{part.name}`" for part in self.parts)
        return (
            f"Send {media_types.FORM} with the fields {names}, each at most once: `{self.example}`."
        )

    def _parser(self, content_type: str, reader: "_FormReader") -> MultipartParser:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != media_types.FORM.encode() or not boundary:
            found = repr(content_type[:80]) if content_type else "missing"
            raise BadUpload(f"The Content-Type is {found}. {self.usage}")
        try:
            return MultipartParser(boundary, reader.callbacks())
        except FormParserError as error:
            raise BadUpload(f"Invalid multipart boundary: {error}. {self.usage}") from error


def _schema(part: FormPart) -> dict[str, Any]:
    return {"type": "string", **({"format": "binary"} if part.is_file else {}), **part.schema}


def _text(data: bytearray) -> str:
    return data.decode("utf-8", errors="surrogateescape")


class _FormReader:
    """Collects what the parser calls back with.

    `pending` are bytes of files that are not written yet, with what writes them.
    """

    def __init__(self, form: Form, open_file: OpenFile) -> None:
        self._form = form
        self._parts = {part.name: part for part in form.parts}
        self._open_file = open_file
        self.pending: list[tuple[Write, bytearray]] = []
        self.texts: dict[str, bytearray] = {}
        self.seen: set[str] = set()
        self.is_complete = False
        self._part: FormPart | None = None
        self._write: Write | None = None
        self._header = _Header()

    def callbacks(self) -> Any:
        """Return the functions that the parser calls; it types them with a private class."""
        return {
            "on_part_begin": self._header.begin_part,
            "on_header_field": self._header.add_name,
            "on_header_value": self._header.add_value,
            "on_header_end": self._header.end,
            "on_headers_finished": self._begin_part,
            "on_part_data": self._add_data,
            "on_end": self._end,
        }

    def write_pending(self) -> None:
        """Write the bytes of files that have arrived."""
        for write, data in self.pending:
            write(bytes(data))
        self.pending.clear()

    def _begin_part(self) -> None:
        name, filename = self._header.name_and_filename()
        part = self._parts.get(name)
        if part is None or name in self.seen:
            kind = "an unknown" if part is None else "a second"
            raise BadUpload(f"The form has {kind} field {name[:80]!r}. {self._form.usage}")
        self.seen.add(name)
        self._part = part
        if part.is_file:
            self._write = self._open_file(name, filename)
        else:
            self.texts[name] = bytearray()

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        assert self._part is not None, "the parser calls back with headers first"
        if not self._part.is_file:
            self._add_text(self._part, data[start:end])
        elif self.pending and self.pending[-1][0] is self._write:
            self.pending[-1][1].extend(data[start:end])
        else:
            assert self._write is not None, "every file part has a writer"
            self.pending.append((self._write, bytearray(data[start:end])))

    def _add_text(self, part: FormPart, data: bytes) -> None:
        text = self.texts[part.name]
        text += data
        if len(text) > part.max_bytes:
            raise BadUpload(
                f"The field {part.name!r} has more than {part.max_bytes} bytes. Send a shorter one."
            )

    def _end(self) -> None:
        self.is_complete = True


@dataclass(slots=True)
class _Header:
    """The header of the part that is being parsed; only its Content-Disposition is kept."""

    _name: bytearray = field(default_factory=bytearray)
    _value: bytearray = field(default_factory=bytearray)
    _disposition: bytes = b""

    def begin_part(self) -> None:
        self._disposition = b""

    def add_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def end(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def name_and_filename(self) -> tuple[str, str]:
        _, options = parse_options_header(self._disposition)
        name, filename = options.get(b"name", b""), options.get(b"filename", b"")
        return name.decode("utf-8", "replace"), filename.decode("utf-8", "replace")
