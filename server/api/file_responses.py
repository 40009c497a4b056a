"""Responses from open files: complete even when the file is renamed or deleted meanwhile."""

import os
from collections.abc import Mapping
from io import BufferedReader
from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse
from starlette.types import Message, Receive, Scope, Send

from server.api.problem_responses import response_to
from server.api.problems import problem_of
from server.problems import Problem

_BAD_RANGE: Final = {400, 416}


class OpenFileResponse(FileResponse):
    """Sends an open file in pieces, supports `Range`, and closes the file at the end."""

    def __init__(
        self, file: BufferedReader, *, headers: Mapping[str, str], media_type: str
    ) -> None:
        self._file = file
        # The path of the open descriptor, which works after the file is deleted.
        super().__init__(
            f"/dev/fd/{file.fileno()}",
            headers=headers,
            media_type=media_type,
            stat_result=os.fstat(file.fileno()),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file, or a problem for an invalid `Range`."""
        refused: Message | None = None

        async def send_unless_refused(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and message["status"] in _BAD_RANGE:
                refused = message
            if refused is None:
                await send(message)

        try:
            await super().__call__(scope, receive, send_unless_refused)
        finally:
            self._file.close()
        if refused is not None:
            size = Headers(raw=refused["headers"]).get("content-range", "")
            problem = _bad_range(refused["status"], size)
            await response_to(problem, scope)(scope, receive, send)


def _bad_range(status: int, size: str) -> Problem:
    """Describe a rejected range. `size` is its Content-Range, such as `bytes */9`."""
    num_bytes = size.rpartition("/")[2]
    if status == 416:
        detail = (
            f"The `Range` starts after the end of the file, which has {num_bytes} bytes. Request a "
            "range within the file."
        )
    else:
        detail = "Malformed header `Range`. Send a range such as `bytes=0-499`, or omit the header."
    headers = {"Content-Range": size} if size else None
    return problem_of(HTTPException(status, detail, headers))
