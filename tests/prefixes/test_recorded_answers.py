"""Recorded answers and feedback in the database."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from prefixes.errors import AnswerNotFound, PrefixNotFound, QuotaExceeded, TenantNotFound
from prefixes.registry import (
    COMMAND_LINE,
    AnswerStore,
    ApiKeys,
    AuditLog,
    FeedbackRule,
    FeedbackSettings,
    LimitStore,
    PrefixRegistry,
    Tenants,
    answer_resealing,
)
from prefixes.registry.answer_resealing import reseal_answers
from prefixes.registry.audit import AuditFilter
from prefixes.registry.recorded_answer_rows import Disagreement, NewAnswer, SealedText
from prefixes.registry.recorded_answer_writes import BYTES_OF_A_ROW
from prefixes.registry.tables import feedback_settings, now, recorded_answers
from tests.prefixes.publishing import publish

ENABLED = FeedbackRule(is_enabled=True)
RIGHT = SealedText(b'{"label": "good"}', None)


@pytest.fixture
def store(registry: PrefixRegistry) -> AnswerStore:
    return AnswerStore(registry.database, max_bytes=10**6)


@pytest.fixture
def rules(registry: PrefixRegistry) -> FeedbackSettings:
    """Acme and globex record answers, and have a task each."""
    rules = FeedbackSettings(registry.database)
    for tenant in ("acme", "globex"):
        publish(registry, tenant, "topic", tenant, alias="live")
        rules.set(tenant, ENABLED, by=COMMAND_LINE)
    return rules


def answer(
    request_id: str,
    place: int = 0,
    *,
    tenant: str = "acme",
    task: str = "topic",
    version: int = 1,
    text: bytes = b"a text",
    margin: float | None = 0.5,
    at: datetime | None = None,
) -> NewAnswer:
    moment = at or now()
    return NewAnswer(
        tenant, task, version, request_id, place, moment, SealedText(text, None), margin
    )


def give(store: AnswerStore, request_id: str, *, wrong: bool = True, review: bool = False) -> None:
    found = store.find("acme", request_id, 0)
    store.give(found, RIGHT, is_contradicted=wrong, is_review=review)


def ids(store: AnswerStore, limit: int = 100) -> list[str]:
    return [one.request_id for one in store.unlabeled("acme", "topic", limit=limit)]


def check_counted_bytes(registry: PrefixRegistry) -> None:
    """The counter of each tenant must be the sum of its rows."""
    with registry.database.read() as connection:
        rows = connection.execute(
            select(
                recorded_answers.c.tenant_id,
                recorded_answers.c.content,
                recorded_answers.c.feedback,
                recorded_answers.c.num_bytes,
            )
        ).all()
        counted = dict(
            connection.execute(
                select(feedback_settings.c.tenant_id, feedback_settings.c.stored_bytes)
            ).all()
        )
    sums = dict.fromkeys(counted, 0)
    for tenant_id, content, feedback, num_bytes in rows:
        assert num_bytes == BYTES_OF_A_ROW + len(content) + len(feedback or b"")
        sums[tenant_id] += num_bytes
    assert counted == sums


def actions(registry: PrefixRegistry) -> list[str]:
    found = AuditLog(registry.database).list(AuditFilter(tenant="acme"), limit=100)
    return [one.action for one in found]


@pytest.mark.usefixtures("rules")
def test_an_answer_is_found_by_its_request_and_place_by_its_tenant_alone(
    store: AnswerStore,
) -> None:
    assert store.add([answer("r1"), answer("r1", 1, text="żółw".encode()), answer("r2")]) == 3
    found = store.find("acme", "r1", 1)
    assert (found.task, found.version, found.content.data) == ("topic", 1, "żółw".encode())
    for missing in (("globex", "r1", 1), ("acme", "r1", 2), ("acme", "r3", 0), ("acme", "\0", 0)):
        with pytest.raises(AnswerNotFound, match="There is no recorded answer"):
            store.find(*missing)
    with pytest.raises(AnswerNotFound):
        store.find("acme", "r1", 2**80)


@pytest.mark.usefixtures("rules")
def test_of_a_request_id_that_is_used_twice_the_last_answer_is_found(store: AnswerStore) -> None:
    store.add([answer("same", text=b"first"), answer("same", text=b"second")])
    assert store.find("acme", "same", 0).content.data == b"second"


def test_only_tenants_that_opted_in_are_recorded(
    registry: PrefixRegistry, store: AnswerStore
) -> None:
    publish(registry, "acme", "topic", "one", alias="live")
    keys = ApiKeys(registry.database)
    key = keys.issue("acme", "app").key
    rules = FeedbackSettings(registry.database)
    assert rules.find("acme").rule == FeedbackRule()
    assert store.add([answer("before")]) == 0
    rules.set("acme", FeedbackRule(is_enabled=True, sample_percent=20), by=COMMAND_LINE)
    identity = keys.authenticate(key)
    assert identity is not None
    assert identity.recorded_percent == 20
    assert store.add([answer("while")]) == 1
    rules.set("acme", FeedbackRule(), by=COMMAND_LINE)
    identity = keys.authenticate(key)
    assert identity is not None
    assert identity.recorded_percent == 0
    assert store.add([answer("after")]) == 0
    assert rules.find("acme").num_answers == 1
    assert actions(registry)[:2] == ["feedback.settings", "feedback.settings"]
    with pytest.raises(TenantNotFound):
        rules.set("nobody", ENABLED, by=COMMAND_LINE)


def test_an_unchanged_rule_is_no_event(registry: PrefixRegistry, rules: FeedbackSettings) -> None:
    rules.set("acme", ENABLED, by=COMMAND_LINE)
    assert actions(registry).count("feedback.settings") == 1


@pytest.mark.usefixtures("rules")
def test_feedback_is_stored_and_replaced(registry: PrefixRegistry, store: AnswerStore) -> None:
    store.add([answer("r1"), answer("r2")])
    give(store, "r1", wrong=True)
    give(store, "r1", wrong=False)
    (found,) = store.labeled("acme", "topic")
    assert (found.feedback, found.is_contradicted, found.is_reviewed) == (RIGHT, False, False)
    check_counted_bytes(registry)
    state = FeedbackSettings(registry.database).find("acme")
    assert (state.num_answers, state.num_with_feedback) == (2, 1)
    assert store.labeled("globex", "topic") == []


def test_an_answer_that_is_deleted_while_feedback_arrives_is_not_found(
    store: AnswerStore, rules: FeedbackSettings
) -> None:
    store.add([answer("r1")])
    found = store.find("acme", "r1", 0)
    rules.delete("acme", by=COMMAND_LINE)
    with pytest.raises(AnswerNotFound):
        store.give(found, RIGHT, is_contradicted=True, is_review=False)


@pytest.mark.usefixtures("rules")
def test_what_contradicts_comes_first_then_disagreements_then_small_margins(
    store: AnswerStore,
) -> None:
    names = ("sure", "unsure", "disputed", "wrong", "right", "reviewed", "plain")
    margins = (0.9, 0.1, 0.8, 0.7, 0.05, 0.6, None)
    answers = [answer(name, margin=value) for name, value in zip(names, margins, strict=True)]
    disagreement = Disagreement("acme", "disputed", 0, 2)
    stranger = Disagreement("globex", "sure", 0, 2)
    store.add(answers)
    store.note_disagreements([disagreement, stranger])
    give(store, "wrong")
    give(store, "right", wrong=False)
    give(store, "reviewed", review=True)
    assert ids(store) == ["wrong", "disputed", "unsure", "sure"]
    found = store.unlabeled("acme", "topic", limit=100)
    assert [one.other_version for one in found] == [None, 2, None, None]
    assert ids(store, limit=1) == ["wrong", "disputed", "unsure"]


@pytest.mark.usefixtures("rules")
def test_a_review_stays_one_when_others_give_feedback_later(store: AnswerStore) -> None:
    store.add([answer("r1")])
    give(store, "r1", review=True)
    give(store, "r1", review=False)
    assert ids(store) == []


@pytest.mark.parametrize("task", [None, "topic"])
def test_a_deletion_also_drops_answers_that_are_not_stored_yet(
    registry: PrefixRegistry, store: AnswerStore, rules: FeedbackSettings, task: str | None
) -> None:
    publish(registry, "acme", "other", "one")
    store.add([answer("r1"), answer("r2", task="other"), answer("r3", tenant="globex")])
    given_before = answer("r4")
    assert rules.delete("acme", task, by=COMMAND_LINE) == (2 if task is None else 1)
    assert store.add([given_before, answer("r5")]) == 1
    with pytest.raises(AnswerNotFound):
        store.find("acme", "r1", 0)
    assert store.find("globex", "r3", 0).task == "topic"
    assert rules.find("acme").num_answers == (1 if task is None else 2)
    assert actions(registry)[0] == "feedback.delete"
    check_counted_bytes(registry)


def test_deleting_the_feedback_of_an_unknown_task_fails(rules: FeedbackSettings) -> None:
    with pytest.raises(PrefixNotFound):
        rules.delete("acme", "nothing", by=COMMAND_LINE)


@pytest.mark.usefixtures("rules")
def test_answers_of_versions_that_are_gone_are_dropped(
    registry: PrefixRegistry, store: AnswerStore
) -> None:
    assert store.add([answer("r1", version=2), answer("r2", task="nothing")]) == 0
    store.add([answer("r3")])
    registry.delete_prefix("acme", "topic")
    assert store.add([answer("r4")]) == 0
    with pytest.raises(AnswerNotFound):
        store.find("acme", "r3", 0)
    registry.restore_prefix("acme", "topic", by=COMMAND_LINE)
    assert store.find("acme", "r3", 0).version == 1


@pytest.mark.usefixtures("rules")
def test_a_task_that_is_removed_takes_its_answers_with_it(
    registry: PrefixRegistry, store: AnswerStore
) -> None:
    store.add([answer("r1"), answer("r2", tenant="globex")])
    registry.delete_prefix("acme", "topic")
    registry.purge_deleted(before=now() + timedelta(days=1), by=COMMAND_LINE)
    assert FeedbackSettings(registry.database).find("acme").num_answers == 0
    registry.remove_prefix("globex", "topic")
    assert FeedbackSettings(registry.database).find("globex").num_answers == 0
    check_counted_bytes(registry)


@pytest.mark.usefixtures("rules")
def test_a_tenant_that_is_removed_takes_everything_with_it(
    registry: PrefixRegistry, store: AnswerStore
) -> None:
    store.add([answer("r1"), answer("r2", tenant="globex")])
    Tenants(registry.database).delete("acme", by=COMMAND_LINE)
    assert store.add([answer("r3")]) == 0
    assert registry.purge_tenant("acme", before=now() + timedelta(days=1), by=COMMAND_LINE)
    with registry.database.read() as connection:
        assert connection.execute(select(recorded_answers.c.request_id)).scalars().all() == ["r2"]
        assert len(connection.execute(select(feedback_settings)).all()) == 1


def test_answers_expire_after_the_retention_time_of_their_tenant_or_the_maximum(
    registry: PrefixRegistry, store: AnswerStore, rules: FeedbackSettings
) -> None:
    days_ago = {f"{days}": datetime.now(UTC) - timedelta(days=days) for days in (1, 3, 40)}
    for tenant in ("acme", "globex"):
        store.add([answer(name, tenant=tenant, at=at) for name, at in days_ago.items()])
    rules.set("acme", FeedbackRule(is_enabled=False, retention_days=2), by=COMMAND_LINE)
    rules.set("globex", FeedbackRule(is_enabled=True, retention_days=100), by=COMMAND_LINE)
    assert store.remove_expired(max_days=30) == 3
    assert store.remove_expired(max_days=30) == 0
    assert rules.find("acme").num_answers == 1
    assert rules.find("globex").num_answers == 2
    check_counted_bytes(registry)


@pytest.mark.usefixtures("rules")
def test_the_oldest_answers_without_feedback_make_room(registry: PrefixRegistry) -> None:
    size = BYTES_OF_A_ROW + 100
    store = AnswerStore(registry.database, max_bytes=3 * size + len(RIGHT.data))
    for name in ("r1", "r2", "r3"):
        store.add([answer(name, text=b"x" * 100)])
    give(store, "r1")
    assert store.add([answer("r4", text=b"x" * 100)]) == 1
    with pytest.raises(AnswerNotFound):
        store.find("acme", "r2", 0)
    assert {one.request_id for one in store.labeled("acme", "topic")} == {"r1"}
    assert store.add([answer("huge", text=b"x" * 10_000)]) == 0
    check_counted_bytes(registry)


@pytest.mark.usefixtures("rules")
def test_feedback_without_room_is_rejected(registry: PrefixRegistry) -> None:
    store = AnswerStore(registry.database, max_bytes=BYTES_OF_A_ROW + 100 + 5)
    store.add([answer("r1", text=b"x" * 100)])
    with pytest.raises(QuotaExceeded, match="no room for feedback"):
        give(store, "r1")
    assert store.labeled("acme", "topic") == []
    check_counted_bytes(registry)


@pytest.mark.usefixtures("rules")
def test_answers_count_as_stored_bytes_of_the_tenant(
    registry: PrefixRegistry, store: AnswerStore
) -> None:
    limits = LimitStore(registry.database)
    before = limits.of_tenant("acme").stored.bytes
    store.add([answer("r1", text=b"x" * 100)])
    assert limits.of_tenant("acme").stored.bytes == before + BYTES_OF_A_ROW + 100
    limits.change_tenant("acme", {"max_stored_bytes": before}, by=COMMAND_LINE)
    assert store.add([answer("r2")]) == 0


@pytest.mark.usefixtures("rules")
def test_hundreds_of_answers_of_several_tenants_are_one_write(
    registry: PrefixRegistry, store: AnswerStore
) -> None:
    many: Sequence[NewAnswer] = [
        answer("r", place, tenant=tenant) for place in range(700) for tenant in ("acme", "globex")
    ]
    assert store.add(many) == 1400
    assert FeedbackSettings(registry.database).delete("acme", by=COMMAND_LINE) == 700
    check_counted_bytes(registry)


def test_deletions_and_feedback_while_answers_are_written_keep_the_counts_right(
    registry: PrefixRegistry, store: AnswerStore, rules: FeedbackSettings
) -> None:
    def write(thread: int) -> None:
        for turn in range(20):
            name = f"{thread} {turn}"
            store.add([answer(name), answer(name, tenant="globex")])
            with suppress(AnswerNotFound):  # it may be deleted already
                give(store, name)

    def remove() -> None:
        for _ in range(20):
            rules.delete("acme", by=COMMAND_LINE)

    with ThreadPoolExecutor(4) as threads:
        done = [threads.submit(write, thread) for thread in range(3)] + [threads.submit(remove)]
        for one in done:
            one.result()
    check_counted_bytes(registry)
    assert rules.find("globex").num_answers == 60
    rules.delete("acme", by=COMMAND_LINE)
    assert rules.find("acme").num_bytes == 0


@pytest.mark.usefixtures("rules")
def test_texts_are_sealed_again_a_few_at_a_time_and_their_bytes_counted(
    registry: PrefixRegistry, store: AnswerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_resealing, "_ROWS_AT_ONCE", 3)
    store.add([answer(f"r{number}") for number in range(7)])
    store.add([answer("bad", text=b"?"), answer("g", tenant="globex")])
    give(store, "r5")

    def reseal(sealed: SealedText) -> SealedText | None:
        if sealed.data == b"?":
            return None
        return sealed if sealed.key == "new" else SealedText(sealed.data * 2, "new")

    parts = [tuple(one) for one in reseal_answers(registry.database, "new", reseal)]
    assert parts == [(3, 0), (3, 0), (2, 1), (0, 0)]
    assert store.find("acme", "r5", 0).content == SealedText(b"a texta text", "new")
    assert store.find("acme", "r5", 0).feedback == SealedText(RIGHT.data * 2, "new")
    assert store.find("acme", "bad", 0).content == SealedText(b"?", None)
    check_counted_bytes(registry)
    assert [tuple(one) for one in reseal_answers(registry.database, "new", reseal)] == [
        (0, 1), (0, 0),
    ]  # fmt: skip
    check_counted_bytes(registry)
