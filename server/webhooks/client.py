"""WebhookClient: sends one message to an endpoint, over a connection to an allowed address.

It uses httpcore, which httpx is built on: the only client here with a documented place to choose
the address of a connection (`network_backend`). The address is checked where it is connected to,
after the name was resolved, so a name that changes its address gains nothing. The certificate is
still verified for the name. httpcore follows no redirects and reads no proxy from the environment.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import urlsplit

import httpcore

from prefixes.registry.deliveries import ClaimedDelivery
from server.webhooks.addresses import AddressRules
from server.webhooks.signing import signed_headers

TIMEOUT_SECONDS: Final = 10.0
"""For a whole attempt: resolving, connecting, sending, and the head of the response."""
_NUM_RESOLVERS: Final = 8


class NotDelivered(Exception):
    """An attempt without a response. The message is for the tenant."""


class WebhookClient:
    """Sends messages. Belongs to the event loop."""

    def __init__(
        self,
        rules: AddressRules,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Set up.

        Args:
            rules: the addresses to which it may connect.
            timeout_seconds: maximum time for an attempt.
            tls: verifies certificates; None for the authorities that the system trusts.
        """
        self._rules = rules
        self._timeout_seconds = timeout_seconds
        self._tls = tls or ssl.create_default_context()
        # Own threads: slow name servers that tenants choose must delay nothing else.
        self._resolvers = ThreadPoolExecutor(_NUM_RESOLVERS, thread_name_prefix="webhook-dns")

    def close(self) -> None:
        """Stop the threads."""
        self._resolvers.shutdown(wait=False, cancel_futures=True)

    async def send(self, delivery: ClaimedDelivery) -> int:
        """Send a message, and return the status of the response. Its body is not read.

        Raises:
            NotDelivered: when there is no response.
        """
        body = delivery.body.encode()
        signed = signed_headers(delivery.message_id, int(time.time()), body, delivery.secrets)
        headers = {"Content-Type": "application/json", "User-Agent": "polyprefix", **signed}
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._post(delivery.url, headers, body)
        except TimeoutError:
            raise NotDelivered(f"no response within {self._timeout_seconds:g} seconds") from None
        except httpcore.ConnectError as error:
            raise NotDelivered("the connection failed") from error
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise NotDelivered("the connection ended without a valid response") from error

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        is_encrypted = urlsplit(url).scheme == "https"
        backend = _CheckedBackend(self._rules, self._resolvers, is_encrypted=is_encrypted)
        async with (
            httpcore.AsyncConnectionPool(self._tls, network_backend=backend) as pool,
            pool.stream("POST", url, headers=list(headers.items()), content=body) as response,
        ):
            return response.status


class _CheckedBackend(httpcore.AsyncNetworkBackend):
    """Resolves a name, and connects to the first of its allowed addresses that accepts."""

    def __init__(
        self, rules: AddressRules, resolvers: ThreadPoolExecutor, *, is_encrypted: bool
    ) -> None:
        self._rules = rules
        self._resolvers = resolvers
        self._is_encrypted = is_encrypted
        self._connector = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - overrides
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        failure: Exception | None = None
        for address in await self._allowed(host, port):
            try:
                return await self._connector.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except httpcore.ConnectError as error:
                failure = error
        raise failure or NotDelivered(
            "the host has no address that webhooks may use: expected a public one with https"
        )

    async def _allowed(self, host: str, port: int) -> Sequence[str]:
        addresses = await asyncio.get_running_loop().run_in_executor(
            self._resolvers, _resolve, host, port
        )
        return [
            one for one in addresses if self._rules.allows(one, is_encrypted=self._is_encrypted)
        ]


def _resolve(host: str, port: int) -> Sequence[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotDelivered("the name of the host was not found") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
