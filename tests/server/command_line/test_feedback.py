"""The commands of feedback."""

import json
from pathlib import Path

import pytest

from prefixes.registry import (
    COMMAND_LINE,
    AnswerStore,
    AuditLog,
    FeedbackRule,
    FeedbackSettings,
    open_registry,
)
from prefixes.registry.audit import AuditFilter
from prefixes.registry.recorded_answer_rows import NewAnswer
from prefixes.registry.tables import now
from server.feedback import sealing
from server.feedback.sealing import Sealer, find_key_problem, new_key
from tests.prefixes.publishing import publish
from tests.server.command_line.caller import call


@pytest.fixture
def store(tmp_path: Path) -> tuple[str, Path]:
    where = ("--store-folder", tmp_path)
    assert call("tenant", "create", "acme", *where).code == 0
    return where


def test_a_tenant_starts_changes_and_stops_to_record(store: tuple[str, Path]) -> None:
    def shown() -> object:
        found = json.loads(call("feedback", "show", "acme", "--json", *store).output)
        return found["is_enabled"], found["retention_days"], found["sample_percent"]

    assert shown() == (False, 30, 100)
    output = call("feedback", "set", "acme", "--enable", "--sample-percent", 5, *store).output
    assert output.splitlines()[:3] == [
        "is_enabled\ttrue",
        "retention_days\t30.0",
        "sample_percent\t5.0",
    ]
    assert call("feedback", "set", "acme", "--retention-days", 7, *store).code == 0
    assert shown() == (True, 7, 5)
    assert call("feedback", "set", "acme", "--disable", *store).code == 0
    assert shown() == (False, 7, 5)
    registry = open_registry(store[1])
    events = AuditLog(registry.database).list(AuditFilter(tenant="acme"), limit=9)
    registry.close()
    assert [event.action for event in events].count("feedback.settings") == 3
    assert events[0].actor == COMMAND_LINE.name


def test_answers_are_deleted_by_tenant_and_task(store: tuple[str, Path]) -> None:
    assert call("feedback", "delete", "acme", *store).output == "Deleted 0 answers of acme.\n"
    missing = call("feedback", "delete", "acme/spam", *store)
    assert (missing.code, "Prefix not found: acme/spam" in missing.error) == (2, True)
    assert call("feedback", "set", "acme", "--sample-percent", 200, *store).code == 2
    assert call("feedback", "show", "nobody", *store).code == 2


def test_a_generated_key_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "find_spec", lambda name: name)
    first, second = (call("feedback", "generate-key").output.strip() for _ in range(2))
    assert first != second
    assert find_key_problem([first, second]) is None


def test_stored_texts_are_encrypted_with_the_first_key_and_the_old_one_can_go(
    store: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cryptography", reason="the extra `encryption` is not installed")
    old, new, lost = (new_key() for _ in range(3))
    registry = open_registry(store[1])
    publish(registry, "acme", "topic", "acme", alias="live")
    FeedbackSettings(registry.database).set("acme", FeedbackRule(is_enabled=True), by=COMMAND_LINE)
    answers = AnswerStore(registry.database, max_bytes=10**6)
    keys: dict[str, list[str]] = {"old": [old], "plain": [], "lost": [lost], "new": [new]}
    answers.add(
        [
            NewAnswer("acme", "topic", 1, name, 0, now(), Sealer(its).seal(name.encode()), 0.5)
            for name, its in keys.items()
        ]
    )
    right = Sealer([old]).seal(b"right")
    answers.give(answers.find("acme", "new", 0), right, is_contradicted=False, is_review=False)
    monkeypatch.delenv("POLYPREFIX_FEEDBACK_KEYS", raising=False)
    assert call("feedback", "reencrypt", *store).code == 2
    monkeypatch.setenv("POLYPREFIX_FEEDBACK_KEYS", f"{new},{old}")
    output = call("feedback", "reencrypt", *store).output
    assert output.splitlines() == [
        f"Encrypted 3 answers with the key {Sealer([new]).current}.",
        "1 answers cannot be read: their keys are missing.",
    ]
    again = json.loads(call("feedback", "reencrypt", "--json", *store).output)
    assert again == {"num_encrypted": 0, "num_unreadable": 1}
    for name in ("old", "plain", "new"):
        assert Sealer([new]).open(answers.find("acme", name, 0).content) == name.encode()
    feedback = answers.find("acme", "new", 0).feedback
    assert feedback is not None
    assert Sealer([new]).open(feedback) == b"right"
    assert Sealer([lost]).open(answers.find("acme", "lost", 0).content) == b"lost"
    registry.close()
