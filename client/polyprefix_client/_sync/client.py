# Generated from _async/client.py by generate_sync.py. Change that file instead.
"""Client: everything that a server offers, as methods."""

from collections.abc import Mapping
from typing import Any, Self

from polyprefix_client._sync.aliases import AliasRules, Canaries
from polyprefix_client._sync.batches import Batches
from polyprefix_client._sync.feedback import Feedback
from polyprefix_client._sync.inference import Inference
from polyprefix_client._sync.prefixes import Prefixes
from polyprefix_client._sync.records import Audit, Usage
from polyprefix_client._sync.tenants import Keys, TenantLimits, Tenants
from polyprefix_client._sync.trainings import Trainings
from polyprefix_client._sync.transport import Transport
from polyprefix_client._sync.webhooks import Webhooks
from polyprefix_client.conversion import from_json
from polyprefix_client.login import Connection, find_connection
from polyprefix_client.management import Caller, Model, ServerStatus
from polyprefix_client.requests import Call, body_of, get, value_of
from polyprefix_client.retries import RetryPolicy


class Client(Inference):
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
        self._transport = Transport(connection, timeout, retries or RetryPolicy(), **options)
        self.prefixes = Prefixes(self._transport)
        self.canaries = Canaries(self._transport)
        self.rules = AliasRules(self._transport)
        self.trainings = Trainings(self._transport)
        self.batches = Batches(self._transport)
        self.feedback = Feedback(self._transport)
        self.tenants = Tenants(self._transport)
        self.keys = Keys(self._transport)
        self.limits = TenantLimits(self._transport)
        self.audit = Audit(self._transport)
        self.usage = Usage(self._transport)
        self.webhooks = Webhooks(self._transport)

    @property
    def connection(self) -> Connection:
        """The server and the key, and where they come from."""
        return self._transport.connection

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def status(self) -> ServerStatus:
        """Return what the server says about itself: its version and its backbone."""
        return value_of(self._transport.send(get("/")), ServerStatus)

    def me(self) -> Caller:
        """Describe the key of this client."""
        return value_of(self._transport.send(get("/v1/me")), Caller)

    def models(self) -> list[Model]:
        """List the names that calls accept as `model`."""
        body = body_of(self._transport.send(get("/v1/models")))
        return [from_json(Model, one) for one in body["data"]]

    def request(
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
        response = self._transport.send(call)
        return body_of(response) if response.content else None
