"""The commands of feedback."""

import json
from pathlib import Path

import pytest

from prefixes.registry import COMMAND_LINE, AuditLog, open_registry
from prefixes.registry.audit import AuditFilter
from server.feedback import sealing
from server.feedback.sealing import find_key_problem
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
