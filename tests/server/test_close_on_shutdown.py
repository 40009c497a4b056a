import httpx
import pytest
from starlette.responses import PlainTextResponse

from server.api.middleware.close_on_shutdown import CloseOnShutdown
from server.shutdown import Shutdown

pytestmark = pytest.mark.anyio


async def test_only_responses_that_start_after_the_shutdown_began_close_their_connection() -> None:
    shutdown = Shutdown()
    app = CloseOnShutdown(PlainTextResponse("hello"), shutdown)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://server"
    ) as client:
        assert "connection" not in (await client.get("/")).headers
        await shutdown.begin()
        assert (await client.get("/")).headers["connection"] == "close"
