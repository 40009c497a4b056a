"""Files sent from an open file: whatever happens to their names meanwhile, the answer is whole."""

import os
from collections.abc import Mapping
from io import BufferedReader

from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send


class OpenFileResponse(FileResponse):
    """Sends an open file in pieces, with `Range`, and closes it at the end."""

    def __init__(
        self, file: BufferedReader, *, headers: Mapping[str, str], media_type: str
    ) -> None:
        self._file = file
        # The system's name of the open file, which works after the file was deleted.
        super().__init__(
            f"/dev/fd/{file.fileno()}",
            headers=headers,
            media_type=media_type,
            stat_result=os.fstat(file.fileno()),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()
