"""SecurityHeaders: the middleware that tells browsers to treat every response with suspicion."""

from collections.abc import Sequence
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY: Final = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")

HEADERS: Final[Sequence[tuple[bytes, bytes]]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),  # requests that CORS allows ignore it
    _POLICY,
)
"""Headers of every response. A page that loads scripts has a policy of its own."""

_ONLY_TLS: Final = (b"strict-transport-security", b"max-age=31536000")
"""Browsers do not use plain HTTP for this host for a year. They ignore it without TLS."""


class SecurityHeaders:
    """Adds `HEADERS` to each response, and `Strict-Transport-Security` if the client used TLS."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. See the class."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _secured(message["headers"], scope["scheme"])
            await send(message)

        await self._app(scope, receive, send_secured)


def _secured(headers: Sequence[tuple[bytes, bytes]], scheme: str) -> list[tuple[bytes, bytes]]:
    has_policy = any(name == _POLICY[0] for name, _ in headers)
    secured = [*headers, *(HEADERS[:-1] if has_policy else HEADERS)]
    if scheme == "https":
        secured.append(_ONLY_TLS)
    return secured
