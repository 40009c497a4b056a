"""CloseOnShutdown: the middleware that closes connections once the server shuts down."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.shutdown import Shutdown


class CloseOnShutdown:
    """Adds `Connection: close` to every response that starts after the shutdown began.

    So clients do not reuse a connection that the server is about to close: a request on its way at
    that moment would get no response.
    """

    def __init__(self, app: ASGIApp, shutdown: Shutdown) -> None:
        self._app = app
        self._shutdown = shutdown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. See the class."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_closing(message: Message) -> None:
            if message["type"] == "http.response.start" and self._shutdown.has_begun:
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, receive, send_closing)
