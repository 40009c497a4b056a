"""Webhooks and the outbox in the database."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from prefixes import PrefixRef
from prefixes.errors import NothingToRollBack, TooManyWebhooks, WebhookNotFound
from prefixes.registry import (
    COMMAND_LINE,
    Actor,
    Canaries,
    CanaryPlan,
    PrefixRegistry,
    Tenants,
)
from prefixes.registry.deliveries import Attempt, DeliveryQueue, requeue_held
from prefixes.registry.outbox import MAX_PENDING, Outbox, emit
from prefixes.registry.server_leases import LeaseLost
from prefixes.registry.webhook_rows import MAX_WEBHOOKS
from prefixes.registry.webhooks import Webhooks
from tests.prefixes.holding import hold
from tests.prefixes.publishing import publish

URL = "https://example.org/events"


@pytest.fixture
def hooks(registry: PrefixRegistry) -> Webhooks:
    return Webhooks(registry.database)


@pytest.fixture
def queue(registry: PrefixRegistry) -> DeliveryQueue:
    return DeliveryQueue(registry.database)


def create(hooks: Webhooks, *events: str, tenant: str = "acme") -> str:
    made = hooks.create(tenant, URL, events or ("quota.reached",), by=COMMAND_LINE)
    return made.webhook.id


def events_of(hooks: Webhooks, webhook: str, tenant: str = "acme") -> list[str]:
    return [one.event for one in hooks.deliveries(tenant, webhook, limit=2000)]


def bodies(queue: DeliveryQueue) -> list[dict[str, Any]]:
    return [json.loads(one.body) for one in queue.claim(hold, limit=100)]


def test_events_go_to_the_webhooks_of_the_tenant_that_subscribe_to_them(
    registry: PrefixRegistry, hooks: Webhooks, queue: DeliveryQueue
) -> None:
    both, moves = create(hooks, "alias.moved", "quota.reached"), create(hooks, "alias.moved")
    theirs = create(hooks, "alias.moved", tenant="globex")
    publish(registry, "acme", "topic", "one", alias="live")
    Outbox(registry.database).emit("acme", "quota.reached", {"limit": "tokens"})
    assert events_of(hooks, both) == ["quota.reached", "alias.moved"]
    assert events_of(hooks, moves) == ["alias.moved"]
    assert events_of(hooks, theirs, "globex") == []
    first, second = sorted(bodies(queue), key=lambda body: body["type"])[:2]
    assert first["data"] == second["data"]
    assert first["data"] | {"by": ""} == {
        "tenant": "acme",
        "task": "topic",
        "alias": "live",
        "kind": "publish",
        "from_version": None,
        "to_version": 1,
        "by": "",
    }
    assert datetime.fromisoformat(first["timestamp"]) <= datetime.now(UTC)


def _emit_and_fail(registry: PrefixRegistry) -> None:
    with registry.database.write() as connection:
        emit(connection, "acme", "quota.reached", {})
        raise ZeroDivisionError


def test_a_change_that_is_rolled_back_emits_nothing(
    registry: PrefixRegistry, hooks: Webhooks
) -> None:
    webhook = create(hooks, "alias.moved", "quota.reached")
    publish(registry, "acme", "topic", "one", alias="live")
    with pytest.raises(NothingToRollBack):
        registry.rollback("acme", "topic", "live", by=Actor("ada"))
    with pytest.raises(ZeroDivisionError):
        _emit_and_fail(registry)
    assert events_of(hooks, webhook) == ["alias.moved"]


def test_a_canary_that_is_rolled_back_emits_an_event(
    registry: PrefixRegistry, hooks: Webhooks, queue: DeliveryQueue
) -> None:
    for name in ("one", "two"):
        publish(registry, "acme", "topic", name)
    live = PrefixRef("acme", "topic", alias="live")
    canaries = Canaries(registry.database)
    canaries.set("acme", "topic", "live", CanaryPlan(2, 5), by=COMMAND_LINE)
    webhook = create(hooks, "canary.rolled_back")
    route = registry.resolve([live], reader="acme")[live].canary
    assert route is not None
    for _ in range(2):
        canaries.roll_back(route, reason="It fails.", by=Actor("canary bounds"))
    assert events_of(hooks, webhook) == ["canary.rolled_back"]
    assert bodies(queue)[0]["data"] == {
        "tenant": "acme",
        "task": "topic",
        "alias": "live",
        "version": 2,
        "stable_version": 1,
        "reason": "It fails.",
    }


def test_pending_events_are_bounded_and_long_ones_are_cut(
    registry: PrefixRegistry, hooks: Webhooks, queue: DeliveryQueue
) -> None:
    webhook = create(hooks)
    with registry.database.write() as connection:
        emit(connection, "acme", "quota.reached", {"text": "x" * 70_000})
        for number in range(MAX_PENDING + 5):
            emit(connection, "acme", "quota.reached", {"number": number})
    assert len(events_of(hooks, webhook)) == queue.num_pending() == MAX_PENDING
    assert bodies(queue)[0]["data"] == {"is_truncated": True}


def test_a_claimed_delivery_is_due_again_when_its_lease_has_ended(
    registry: PrefixRegistry, hooks: Webhooks, queue: DeliveryQueue
) -> None:
    hooks.test("acme", create(hooks))
    (lost,) = queue.claim(hold, limit=9)
    assert queue.claim(hold, limit=9) == ()
    with registry.database.write() as connection:
        assert requeue_held(connection, "another", is_taken_over=True) == 0
        assert requeue_held(connection, "test", is_taken_over=True) == 1
    (again,) = queue.claim(lambda _: "next", limit=9)
    assert (again.id, again.num_attempts) == (lost.id, 2)
    for change in (lambda one: queue.finish(one, Attempt(204)), queue.release):
        with pytest.raises(LeaseLost):
            change(lost)
    queue.release(again)
    assert [one.id for one in queue.claim(hold, limit=9)] == [lost.id]


def test_each_webhook_gets_one_message_at_a_time_in_order(
    hooks: Webhooks, queue: DeliveryQueue
) -> None:
    one, two = create(hooks), create(hooks)
    for webhook in (one, one, two, two):
        hooks.test("acme", webhook)
    claimed = queue.claim(hold, limit=9)
    assert [delivery.webhook_id for delivery in claimed] == [one, two]
    assert queue.claim(hold, limit=9) == ()
    queue.finish(claimed[0], Attempt(204))
    (following,) = queue.claim(hold, limit=9)
    assert (following.webhook_id, following.id > claimed[0].id) == (one, True)


def test_the_result_of_an_attempt_is_stored(hooks: Webhooks, queue: DeliveryQueue) -> None:
    webhook = create(hooks)
    for attempt, state in (
        (Attempt(204), "delivered"),
        (Attempt(500, "the response has the status 500", timedelta(hours=1)), "pending"),
        (Attempt(None, "the connection failed"), "failed"),
    ):
        hooks.test("acme", webhook)
        (claimed,) = queue.claim(hold, limit=9)
        queue.finish(claimed, attempt)
        shown = hooks.deliveries("acme", webhook, limit=1)[0]
        assert (shown.state, shown.status, shown.reason) == (state, attempt.status, attempt.reason)
        assert (shown.next_attempt_at is None) == (state != "pending")
        assert shown.attempted_at is not None


def test_old_finished_deliveries_are_removed(hooks: Webhooks, queue: DeliveryQueue) -> None:
    webhook = create(hooks)
    for _ in range(205):
        hooks.test("acme", webhook)
        (claimed,) = queue.claim(hold, limit=9)
        queue.finish(claimed, Attempt(204))
    hooks.test("acme", webhook)
    kept = hooks.deliveries("acme", webhook, limit=1000)
    assert [one.state for one in kept] == ["pending"] + ["delivered"] * 200


def test_nothing_is_sent_for_disabled_webhooks_and_suspended_or_deleted_tenants(
    registry: PrefixRegistry, hooks: Webhooks, queue: DeliveryQueue
) -> None:
    webhook = create(hooks)
    tenants = Tenants(registry.database)
    hooks.test("acme", webhook)
    hooks.change("acme", webhook, is_enabled=False, by=COMMAND_LINE)
    Outbox(registry.database).emit("acme", "quota.reached", {})
    assert queue.claim(hold, limit=9) == ()
    hooks.change("acme", webhook, is_enabled=True, by=COMMAND_LINE)
    for change in (tenants.suspend, tenants.delete):
        change("acme", by=COMMAND_LINE)
        assert queue.claim(hold, limit=9) == ()
        tenants.resume("acme", by=COMMAND_LINE)
    assert [one.webhook_id for one in queue.claim(hold, limit=9)] == [webhook]
    assert events_of(hooks, webhook) == ["webhook.test"]


def test_a_rotated_secret_is_used_together_with_the_old_one_during_the_overlap(
    hooks: Webhooks, queue: DeliveryQueue
) -> None:
    made = hooks.create("acme", URL, ["quota.reached"], by=COMMAND_LINE)
    webhook = made.webhook.id
    for overlap, kept in ((timedelta(hours=1), True), (timedelta(0), False)):
        new = hooks.rotate("acme", webhook, overlap=overlap, by=COMMAND_LINE).secret
        hooks.test("acme", webhook)
        (claimed,) = queue.claim(hold, limit=9)
        assert claimed.secrets == ((new, made.secret) if kept else (new,))
        assert new not in repr(claimed)
        queue.finish(claimed, Attempt(204))


def test_webhooks_of_other_tenants_do_not_exist(hooks: Webhooks) -> None:
    theirs = create(hooks, tenant="globex")
    for missing in (theirs, "wh_none", "\0"):
        for call in (
            lambda one: hooks.find("acme", one),
            lambda one: hooks.change("acme", one, is_enabled=False, by=COMMAND_LINE),
            lambda one: hooks.rotate("acme", one, overlap=timedelta(0), by=COMMAND_LINE),
            lambda one: hooks.delete("acme", one, by=COMMAND_LINE),
            lambda one: hooks.test("acme", one),
            lambda one: hooks.deliveries("acme", one, limit=9),
        ):
            with pytest.raises(WebhookNotFound):
                call(missing)
    assert hooks.list("acme") == ()
    assert [one.id for one in hooks.list("globex")] == [theirs]


def test_the_number_of_webhooks_of_a_tenant_is_limited(hooks: Webhooks) -> None:
    for _ in range(MAX_WEBHOOKS):
        create(hooks)
    with pytest.raises(TooManyWebhooks):
        create(hooks)
    create(hooks, tenant="globex")


def test_webhooks_are_removed_with_their_tenant(
    registry: PrefixRegistry, hooks: Webhooks, queue: DeliveryQueue
) -> None:
    hooks.test("acme", create(hooks))
    Tenants(registry.database).delete("acme", by=COMMAND_LINE)
    later = datetime.now(UTC) + timedelta(days=1)
    assert registry.purge_tenant("acme", before=later, by=Actor("retention"))
    assert queue.num_pending() == 0


def test_deliveries_keep_cached_answers(
    registry: PrefixRegistry, hooks: Webhooks, queue: DeliveryQueue
) -> None:
    webhook = create(hooks)
    before = registry.database.state()
    hooks.test("acme", webhook)
    Outbox(registry.database).emit("acme", "quota.reached", {})
    (claimed,) = queue.claim(hold, limit=9)
    queue.finish(claimed, Attempt(204))
    assert registry.database.state() == before
