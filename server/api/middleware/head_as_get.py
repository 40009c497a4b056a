"""HeadAsGet: the middleware that answers HEAD on each route of GET."""

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAsGet:
    """Handles HEAD like GET, sends the headers of the response, and cancels the rest.

    Routes need not define HEAD, and the OpenAPI document does not list it. The file of a download
    is not read, and an event stream ends at once.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. See the class."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        as_get = {**scope, "method": "GET"}  # a copy: uvicorn must see HEAD, to write no body

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body"})
            rest.cancel()

        try:
            with anyio.CancelScope() as rest:
                await self._app(as_get, receive, send_head)
        finally:
            if "route" in as_get:
                scope["route"] = as_get["route"]  # for the log
