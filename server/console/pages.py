"""The page of the console and its files, which are read once, when the application is built.

Every path below `/console` is answered with the one page, whose script shows the screen that the
path names. A request names a file by its key in a dictionary and never by a path on disk.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

_PATH: Final = "/console"
_TYPES: Final = {
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "txt": "text/plain",
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_REVALIDATED: Final = "no-cache"
"""Browsers ask whether a file has changed, so an upgrade of the server reaches them at once."""


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file of the console, with the type and the digest that are sent with it."""

    content: bytes
    media_type: str
    etag: str

    @classmethod
    def of(cls, name: str, content: bytes) -> "StaticFile":
        digest = hashlib.sha256(content).hexdigest()[:32]
        return cls(content, _TYPES[name.rpartition(".")[2]], f'"{digest}"')


def install(app: FastAPI) -> None:
    """Add the page and its files."""
    static = files("server.console") / "static"
    served = dict(_files_in(static, ""))
    page = (static / "index.html").read_text(encoding="utf-8")

    async def send_file(request: Request) -> Response:
        return _send(served, request)

    async def send_page(request: Request) -> Response:
        return _page(page, request)

    app.add_route(f"{_PATH}/static/{{name:path}}", send_file, include_in_schema=False)
    app.add_route(_PATH, send_page, include_in_schema=False)
    app.add_route(f"{_PATH}/{{screen:path}}", send_page, include_in_schema=False)


def _files_in(folder: Traversable, prefix: str) -> list[tuple[str, StaticFile]]:
    found = []
    for entry in folder.iterdir():
        name = f"{prefix}{entry.name}"
        if entry.is_dir():
            found += _files_in(entry, f"{name}/")
        elif name.rpartition(".")[2] in _TYPES:
            found.append((name, StaticFile.of(name, entry.read_bytes())))
    return found


def _send(served: Mapping[str, StaticFile], request: Request) -> Response:
    file = served.get(request.path_params["name"])
    if file is None:
        raise HTTPException(404)
    headers = {"ETag": file.etag, "Cache-Control": _REVALIDATED}
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)


def _page(page: str, request: Request) -> Response:
    """Fill in the path under which a proxy serves this server, since the page is at many depths."""
    root = escape(request.scope.get("root_path", "").rstrip("/"))
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": _REVALIDATED}
    return Response(page.replace("{root}", root), headers=headers, media_type="text/html")
