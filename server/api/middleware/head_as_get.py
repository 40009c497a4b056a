"""HeadAsGet: HEAD wherever there is GET, with the headers of its answer."""

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAsGet:
    """Answers HEAD as GET is answered, up to the headers; then cancels the rest.

    One layer for all routes, so a new one cannot forget HEAD and the OpenAPI document stays as it
    is. A download is not read, and an event stream ends at once.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on; see the class."""
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
