"""The deliverer, with a real database and a real receiver."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from prefixes.registry import COMMAND_LINE, PrefixRegistry
from prefixes.registry.deliveries import DeliveryQueue, requeue_held
from prefixes.registry.outbox import Outbox
from prefixes.registry.webhooks import Webhooks
from server.leases import ServerLease
from server.observability.metrics import Metrics
from server.webhooks import retries
from server.webhooks.addresses import AddressRules
from server.webhooks.client import WebhookClient
from server.webhooks.deliverer import Deliverer
from tests.server.doubles import until
from tests.server.webhooks.receiver import Receiver, receiving

pytestmark = pytest.mark.anyio

Run = Callable[[], AbstractAsyncContextManager[Metrics]]


@pytest.fixture
def hooks(registry: PrefixRegistry) -> Webhooks:
    return Webhooks(registry.database)


@pytest.fixture
def run(registry: PrefixRegistry, loopback: AddressRules, tmp_path: Path) -> Run:
    """Runs a deliverer, as each start of a server does; gives its metrics."""

    @asynccontextmanager
    async def run() -> AsyncIterator[Metrics]:
        metrics = Metrics()
        client = WebhookClient(loopback, timeout_seconds=5)
        lease = ServerLease(
            registry.database,
            {"webhook_deliveries": requeue_held},
            metrics,
            seconds=60,
            lock_folder=tmp_path / "servers",
        )
        queue = DeliveryQueue(registry.database)
        deliverer = Deliverer(queue, client, metrics, lease=lease, poll_seconds=0.02)
        async with lease.running(), deliverer.running():
            yield metrics

    return run


def create(hooks: Webhooks, url: str) -> str:
    return hooks.create("acme", url, ["quota.reached"], by=COMMAND_LINE).webhook.id


def states(hooks: Webhooks, webhook: str) -> list[str]:
    return [one.state for one in hooks.deliveries("acme", webhook, limit=100)]


async def test_events_are_delivered_and_counted(
    registry: PrefixRegistry, hooks: Webhooks, receiver: Receiver, run: Run
) -> None:
    webhook = create(hooks, receiver.url())
    outbox = Outbox(registry.database)
    async with run() as metrics:
        for number in range(20):
            outbox.emit("acme", "quota.reached", {"number": number})
        await until(lambda: states(hooks, webhook) == ["delivered"] * 20)
        for expected in (
            'polyprefix_webhook_attempts_total{state="delivered"} 20.0',
            "polyprefix_webhook_deliveries_pending 0.0",
        ):
            async with asyncio.timeout(10):
                while expected not in (await metrics.exposition()).decode():  # noqa: ASYNC110 - it has no event
                    await asyncio.sleep(0.01)
    sent = [json.loads(message.body)["data"]["number"] for message in receiver.messages]
    assert sent == list(range(20))


async def test_a_failed_message_is_sent_again_with_the_same_id_and_a_valid_signature(
    hooks: Webhooks, receiver: Receiver, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "PAUSES", (0.01,) * 8)
    receiver.statuses = [500, 302, 204]
    webhook = create(hooks, receiver.url())
    hooks.test("acme", webhook)
    async with run():
        await until(lambda: states(hooks, webhook) == ["delivered"])
    assert len(receiver.messages) == 3
    assert len({message.headers["webhook-id"] for message in receiver.messages}) == 1
    assert hooks.deliveries("acme", webhook, limit=1)[0].num_attempts == 3


async def test_a_message_is_given_up_after_the_last_attempt(
    hooks: Webhooks, receiver: Receiver, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "PAUSES", (0.01, 0.01))
    receiver.statuses = [503]
    webhook = create(hooks, receiver.url())
    hooks.test("acme", webhook)
    async with run():
        await until(lambda: states(hooks, webhook) == ["failed"])
    (delivery,) = hooks.deliveries("acme", webhook, limit=9)
    assert (delivery.status, delivery.reason) == (503, "the response has the status 503")
    assert len(receiver.messages) == 3


async def test_a_slow_endpoint_delays_its_own_messages_alone(
    hooks: Webhooks, receiver: Receiver, run: Run
) -> None:
    with receiving() as slow:
        slow.delay = 3.0
        stuck, other = create(hooks, slow.url()), create(hooks, receiver.url())
        for webhook in (stuck, stuck, other, other, other):
            hooks.test("acme", webhook)
        async with run():
            await until(lambda: states(hooks, other) == ["delivered"] * 3)
            assert states(hooks, stuck) == ["pending"] * 2
            assert len(slow.messages) == 1


async def test_a_restart_loses_no_message(hooks: Webhooks, receiver: Receiver, run: Run) -> None:
    receiver.delay = 3.0
    webhook = create(hooks, receiver.url())
    hooks.test("acme", webhook)
    hooks.test("acme", webhook)
    async with run():
        await until(lambda: len(receiver.messages) == 1)
    assert states(hooks, webhook) == ["pending", "pending"]
    receiver.delay = 0.0
    async with run():
        await until(lambda: states(hooks, webhook) == ["delivered", "delivered"])
    assert len({message.headers["webhook-id"] for message in receiver.messages}) == 2


async def test_two_servers_on_one_store_send_each_message_once(
    hooks: Webhooks, receiver: Receiver, run: Run
) -> None:
    webhooks = [create(hooks, receiver.url()) for _ in range(5)]
    for _ in range(4):
        for webhook in webhooks:
            hooks.test("acme", webhook)
    async with run(), run():
        for webhook in webhooks:
            await until(lambda one=webhook: states(hooks, one) == ["delivered"] * 4)  # type: ignore[misc]
        await asyncio.sleep(0.1)
    assert len(receiver.messages) == 20
