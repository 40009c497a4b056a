"""The reader of multipart forms by itself: files in pieces, texts, and the described parts."""

import asyncio
from collections.abc import Iterator
from functools import partial

import pytest
from fastapi import Request
from starlette.types import Message

from server.api.multipart import Form, FormPart
from server.errors import BadUpload

FORM = Form(
    parts=(
        FormPart("file", {"description": "Rows."}, is_file=True, is_required=True),
        FormPart("test", {}, is_file=True),
        FormPart("task", {"default": "x"}, max_bytes=5),
    ),
    example="curl -F file=@rows.csv",
)


def part(name: str, content: bytes, filename: str = "") -> bytes:
    file = f'; filename="{filename}"' if filename else ""
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
    return head.encode() + content + b"\r\n"


def request_with(body: bytes, size: int) -> Request:
    pieces: Iterator[Message] = iter(
        {"type": "http.request", "body": body[at : at + size], "more_body": at + size < len(body)}
        for at in range(0, len(body), size)
    )

    async def receive() -> Message:
        return next(pieces)

    headers = [(b"content-type", b"multipart/form-data; boundary=b")]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


def receive(body: bytes, size: int = 2**16) -> tuple[dict[str, str], dict[str, bytes]]:
    """The texts of a body, and the bytes of its files by name and file name."""
    files: dict[str, bytes] = {}

    def append(name: str, data: bytes) -> None:
        files[name] = files.get(name, b"") + data

    request = request_with(body, size)
    texts = asyncio.run(FORM.receive(request, lambda name, file: partial(append, f"{name} {file}")))
    return texts, files


@pytest.mark.parametrize("size", [1, 7, 2**16])
def test_two_files_and_a_text_arrive_whole_in_pieces_of_any_size(size: int) -> None:
    rows = b"text,label\r\n\r\n--not the boundary\r\n" * 20
    body = part("test", rows[::-1], "b.csv") + part("task", b"mood") + part("file", rows, "a.csv")
    texts, files = receive(body + b"--b--\r\n", size)
    assert texts == {"task": "mood"}
    assert files == {"test b.csv": rows[::-1], "file a.csv": rows}


def test_a_byte_that_is_not_utf8_is_left_to_the_checks_of_the_text() -> None:
    texts, _ = receive(part("file", b"x", "a") + part("task", b"\xff") + b"--b--\r\n")
    assert texts["task"] == "\udcff"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (part("task", b"mood"), "The form has no `file`"),
        (part("file", b"x") + part("task", b"longer"), "'task' has more than 5 bytes"),
        (part("file", b"x") * 2, "a second field 'file'"),
        (part("file", b"x") + part("fiel", b"x"), "an unknown field 'fiel'"),
    ],
)
def test_each_error_names_the_part(body: bytes, message: str) -> None:
    with pytest.raises(BadUpload, match=message):
        receive(body + b"--b--\r\n")


def test_a_form_describes_itself_for_the_openapi_document() -> None:
    schema = FORM.openapi()["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert schema["required"] == ["file"]
    assert schema["properties"]["file"] == {
        "type": "string", "format": "binary", "description": "Rows.",
    }  # fmt: skip
    assert schema["properties"]["task"] == {"type": "string", "default": "x"}
