"""GrowingFileResponse: the beginning of a file that another task or process appends to."""

import os
from collections.abc import Mapping
from io import BufferedReader

from starlette.types import Message, Receive, Scope, Send

from server.api.file_responses import OpenFileResponse


class GrowingFileResponse(OpenFileResponse):
    """Sends the first `num_bytes` bytes of an open file, as if it ended there."""

    def __init__(
        self,
        file: BufferedReader,
        *,
        headers: Mapping[str, str],
        media_type: str,
        num_bytes: int,
    ) -> None:
        super().__init__(file, headers=headers, media_type=media_type)
        found = os.fstat(file.fileno())
        self.stat_result = os.stat_result((*found[:6], num_bytes, *found[7:10]))
        self._num_bytes = num_bytes
        for name in ("content-length", "etag"):
            del self.headers[name]
        self.set_stat_headers(self.stat_result)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the beginning of the file, or a part of it if the request has a `Range`."""
        is_whole = False
        num_left = self._num_bytes

        async def send_beginning(message: Message) -> None:
            nonlocal is_whole, num_left
            if message["type"] == "http.response.start":
                is_whole = message["status"] == 200
            elif is_whole:  # Starlette reads to the end of the file, which may have grown
                if num_left == 0:
                    return
                body = message.get("body", b"")[:num_left]
                num_left -= len(body)
                is_more = message.get("more_body", False) and num_left > 0
                message = {**message, "body": body, "more_body": is_more}
            await send(message)

        await super().__call__(scope, receive, send_beginning)
