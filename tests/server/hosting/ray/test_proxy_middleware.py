"""The middleware for proxies of Ray."""

from collections.abc import Sequence
from importlib import import_module

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from server.hosting.ray.proxy_middleware import CALLBACK, OneRequestId, middleware

pytestmark = pytest.mark.anyio


def _app(*ids: str) -> OneRequestId:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_ids(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(b"x-request-id", one.encode()) for one in ids]
            await send(message)

        await Starlette(routes=[Route("/", lambda _: Response("ok"))])(
            scope, receive, send_with_ids
        )

    return OneRequestId(app)


@pytest.mark.parametrize(
    ("ids", "expected"),
    [(["ours", "of-ray"], ["ours"]), (["of-ray"], ["of-ray"]), ([], [])],
)
async def test_the_first_request_id_is_left(ids: Sequence[str], expected: Sequence[str]) -> None:
    transport = httpx.ASGITransport(_app(*ids))
    async with httpx.AsyncClient(transport=transport, base_url="http://proxy") as client:
        response = await client.get("/")

    assert response.headers.get_list("x-request-id") == expected
    assert response.text == "ok"


async def test_ray_can_import_the_middleware() -> None:
    module, _, name = CALLBACK.partition(":")

    assert getattr(import_module(module), name) is middleware
