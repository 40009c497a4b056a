"""The client, with a real receiver on the loopback."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import openai
import pytest

from prefixes.registry.deliveries import ClaimedDelivery
from server.webhooks import client
from server.webhooks.addresses import AddressRules
from server.webhooks.client import NotDelivered, WebhookClient
from tests.server.hosting.certificates import CertificateFiles
from tests.server.webhooks.receiver import Receiver, receiving

pytestmark = pytest.mark.anyio

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def delivery(url: str) -> ClaimedDelivery:
    return ClaimedDelivery(1, "wh_1", "msg_1", url, '{"type":"webhook.test"}', 1, "test", (SECRET,))


@pytest.fixture
async def sender(loopback: AddressRules) -> AsyncIterator[WebhookClient]:
    sender = WebhookClient(loopback)
    yield sender
    sender.close()


async def test_a_message_arrives_with_headers_that_verify_it(
    sender: WebhookClient, receiver: Receiver
) -> None:
    assert await sender.send(delivery(receiver.url("/events?token=1"))) == 204
    (message,) = receiver.messages
    assert (message.path, message.body) == ("/events?token=1", b'{"type":"webhook.test"}')
    assert message.headers["content-type"] == "application/json"
    assert message.headers["host"] == f"127.0.0.1:{receiver.port}"
    openai.OpenAI(api_key="none").webhooks.verify_signature(
        message.body, message.headers, secret=SECRET
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "[::1]"])
async def test_nothing_is_sent_to_the_loopback_unless_the_operator_allows_it(
    receiver: Receiver, host: str
) -> None:
    sender = WebhookClient(AddressRules())
    for scheme in ("http", "https"):
        with pytest.raises(NotDelivered, match=r"no address that webhooks may use|not found"):
            await sender.send(delivery(receiver.url(host=host, scheme=scheme)))
    assert receiver.messages == []
    sender.close()


async def test_a_name_is_resolved_once_and_only_its_allowed_addresses_are_used(
    sender: WebhookClient, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Sequence[str]] = [("127.0.0.2", "10.0.0.1", "127.0.0.1"), ("127.0.0.2",)]
    monkeypatch.setattr(client, "_resolve", lambda *_: answers.pop(0))
    assert await sender.send(delivery(receiver.url(host="events.example"))) == 204
    assert receiver.messages[0].headers["host"] == f"events.example:{receiver.port}"
    with pytest.raises(NotDelivered, match="no address that webhooks may use"):
        await sender.send(delivery(receiver.url(host="events.example")))
    assert len(receiver.messages) == 1


async def test_redirects_are_not_followed(sender: WebhookClient, receiver: Receiver) -> None:
    with receiving() as other:
        receiver.statuses, receiver.location = [307], other.url()
        assert await sender.send(delivery(receiver.url())) == 307
        assert other.messages == []
    assert len(receiver.messages) == 1


async def test_proxies_of_the_environment_are_not_used(
    sender: WebhookClient, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert await sender.send(delivery(receiver.url())) == 204


async def test_a_receiver_that_does_not_answer_is_given_up(
    loopback: AddressRules, receiver: Receiver
) -> None:
    receiver.delay = 1.0
    sender = WebhookClient(loopback, timeout_seconds=0.2)
    with pytest.raises(NotDelivered, match=r"no response within 0\.2 seconds"):
        await sender.send(delivery(receiver.url()))
    sender.close()


async def test_the_body_of_a_response_is_not_read(
    sender: WebhookClient, receiver: Receiver
) -> None:
    receiver.endless, receiver.statuses = True, [200]
    assert await sender.send(delivery(receiver.url())) == 200


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\n" * 99_999])
async def test_an_answer_that_is_not_http_is_a_failure(
    sender: WebhookClient, answer: bytes
) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(NotDelivered, match="without a valid response"):
        await sender.send(delivery(f"http://127.0.0.1:{port}/"))
    server.close()


async def test_a_closed_port_and_an_unknown_name_are_failures(
    sender: WebhookClient, receiver: Receiver
) -> None:
    with receiving() as closed:
        pass
    for url, reason in (
        (closed.url(), "connection failed"),
        ("https://events.invalid/", "name of the host was not found"),
        ("https://a..b/", "name of the host was not found"),
        (f"https://127.0.0.1:{receiver.port}/", "connection failed"),  # it does not speak TLS
    ):
        with pytest.raises(NotDelivered, match=reason):
            await sender.send(delivery(url))


async def test_certificates_are_verified_for_the_name_in_the_url(
    loopback: AddressRules, tmp_path: Path
) -> None:
    trusted, other = (CertificateFiles.make(tmp_path, name) for name in ("one", "two"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted.certificate, trusted.key)
    with receiving(tls=context) as receiver, contextlib.ExitStack() as stack:

        async def status(host: str, authority: CertificateFiles) -> Any:
            sender = WebhookClient(loopback, tls=authority.trusted())
            stack.callback(sender.close)
            return await sender.send(delivery(receiver.url(host=host, scheme="https")))

        assert await status("127.0.0.1", trusted) == 204
        for host, authority in (("localhost", trusted), ("127.0.0.1", other)):
            with pytest.raises(NotDelivered, match="connection failed"):
                await status(host, authority)
    assert len(receiver.messages) == 1
