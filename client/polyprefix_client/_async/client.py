"""AsyncClient: everything that a server offers, as methods."""

from collections.abc import Mapping
from typing import Any, Self

from polyprefix_client._async.aliases import AsyncAliasRules, AsyncCanaries
from polyprefix_client._async.batches import AsyncBatches
from polyprefix_client._async.feedback import AsyncFeedback
from polyprefix_client._async.inference import AsyncInference
from polyprefix_client._async.prefixes import AsyncPrefixes
from polyprefix_client._async.records import AsyncAudit, AsyncUsage
from polyprefix_client._async.tenants import AsyncKeys, AsyncTenantLimits, AsyncTenants
from polyprefix_client._async.trainings import AsyncTrainings
from polyprefix_client._async.transport import AsyncTransport
from polyprefix_client._async.webhooks import AsyncWebhooks
from polyprefix_client.conversion import from_json
from polyprefix_client.login import Connection, find_connection
from polyprefix_client.management import Caller, Model, ServerStatus
from polyprefix_client.requests import Call, body_of, get, value_of
from polyprefix_client.retries import RetryPolicy


class AsyncClient(AsyncInference):
    """A client of one server. Use it in a `with` statement, or call `close`."""

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout: float = 60.0,
        retries: RetryPolicy | None = None,
        **options: Any,
    ) -> None:
        """Find the server and the key. Nothing is sent.

        Args:
            url: URL of the server. Default: `POLYPREFIX_URL`, or else that of `polyprefix login`,
                or else http://127.0.0.1:8000.
            key: API key. Default: `POLYPREFIX_KEY`, or else that of `polyprefix login` for this
                URL. An empty key sends none.
            timeout: maximum seconds of a call, retries included.
            retries: how to retry.
            options: options of httpx, such as `verify` or `proxy`.

        Raises:
            InvalidUrl: when the URL is not one of a server.
            InvalidLogin: when the login file cannot be read.
        """
        connection = find_connection(url, key)
        self._transport = AsyncTransport(connection, timeout, retries or RetryPolicy(), **options)
        self.prefixes = AsyncPrefixes(self._transport)
        self.canaries = AsyncCanaries(self._transport)
        self.rules = AsyncAliasRules(self._transport)
        self.trainings = AsyncTrainings(self._transport)
        self.batches = AsyncBatches(self._transport)
        self.feedback = AsyncFeedback(self._transport)
        self.tenants = AsyncTenants(self._transport)
        self.keys = AsyncKeys(self._transport)
        self.limits = AsyncTenantLimits(self._transport)
        self.audit = AsyncAudit(self._transport)
        self.usage = AsyncUsage(self._transport)
        self.webhooks = AsyncWebhooks(self._transport)

    @property
    def connection(self) -> Connection:
        """The server and the key, and where they come from."""
        return self._transport.connection

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    async def status(self) -> ServerStatus:
        """Return what the server says about itself: its version and its backbone."""
        return value_of(await self._transport.send(get("/")), ServerStatus)

    async def me(self) -> Caller:
        """Describe the key of this client."""
        return value_of(await self._transport.send(get("/v1/me")), Caller)

    async def models(self) -> list[Model]:
        """List the names that calls accept as `model`."""
        body = body_of(await self._transport.send(get("/v1/models")))
        return [from_json(Model, one) for one in body["data"]]

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        is_idempotent: bool = False,
    ) -> Any:
        """Call a route that has no method here, and return the body of its response.

        Args:
            method: such as `POST`.
            path: such as `/v2/health/ready`.
            params: the query parameters.
            json: the body.
            is_idempotent: whether the call may be repeated.
        """
        call = Call(method, path, params or {}, json, is_idempotent=is_idempotent)
        response = await self._transport.send(call)
        return body_of(response) if response.content else None
