"""Middleware of Ray's HTTP proxies, which import it themselves."""

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CALLBACK: Final = f"{__name__}:middleware"
"""The value of `RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH` in the environment of the proxies."""


def middleware() -> list[Middleware]:
    """Return what a proxy adds around its own middleware."""
    return [Middleware(OneRequestId)]


class OneRequestId:
    """Leaves one `X-Request-Id` in each response: the application's if it answered.

    A proxy appends the id that the client sent, even if the application replaced it because it is
    not safe to log.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. See the class."""

        async def send_one(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if (first := headers.get("X-Request-Id")) is not None:
                    headers["X-Request-Id"] = first  # removes the others
            await send(message)

        await self._app(scope, receive, send_one)
