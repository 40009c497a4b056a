import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from prefixes.backbone import Backbone
from prefixes.registry import ApiKeys, UsageLog, open_registry
from prefixes.registry.usage import UsageRow
from tests.factories import make_prefix
from tests.server.command_line.caller import CommandResult, call
from tests.server.rest import put


@pytest.fixture
def store(tmp_path: Path) -> tuple[str, Path]:
    return ("--store-folder", tmp_path)


def test_a_tenant_is_created_changed_suspended_resumed_and_deleted(
    store: tuple[str, Path],
) -> None:
    def state() -> Any:
        return json.loads(call("tenant", "list", "--json", *store).output)[0]

    assert call("tenant", "create", "acme", *store).code == 0
    assert state()["is_public"] is False
    assert call("tenant", "change", "acme", "--public", *store).code == 0
    assert state()["is_public"] is True
    for command, expected in {
        "suspend": "suspended",
        "resume": "active",
        "delete": "deleted",
    }.items():
        assert expected in call("tenant", command, "acme", *store).output
        assert state()["state"] == expected


def test_keys_have_roles_and_times_of_expiry(store: tuple[str, Path]) -> None:
    call("key", "create", "acme", "--role", "infer", "--expires-in-days", 2, *store)
    (key,) = json.loads(call("key", "list", "acme", "--json", *store).output)
    assert (key["role"], key["state"]) == ("infer", "valid")
    assert key["expires_at"] > key["created_at"]
    assert "valid until" in call("key", "list", "acme", *store).output


def test_an_operators_key_has_no_tenant(store: tuple[str, Path]) -> None:
    key = call("key", "create", "--role", "operator", *store).output.strip()
    registry = open_registry(store[1])
    identity = ApiKeys(registry.database).authenticate(key)
    registry.close()
    assert identity is not None
    assert (identity.role, identity.tenant) == ("operator", None)
    assert "operator" in call("key", "list", *store).output
    for wrong in (("acme", "--role", "operator"), ("--role", "admin")):
        refused: CommandResult = call("key", "create", *wrong, *store)
        assert (refused.code, "either a tenant or the role" in refused.error) == (2, True)


def test_a_rotated_key_ends_after_the_overlap(store: tuple[str, Path]) -> None:
    old = call("key", "create", "acme", "--role", "upload", *store).output.strip()
    old_id = old.split("_")[1]
    new = call("key", "rotate", old_id, "--overlap-hours", 0, *store).output.strip()
    registry = open_registry(store[1])
    keys = ApiKeys(registry.database)
    identity = keys.authenticate(new)
    assert keys.authenticate(old) is None
    registry.close()
    assert identity is not None
    assert identity.role == "upload"
    again = call("key", "rotate", old_id, *store)
    assert (again.code, "is replaced" in again.error) == (2, True)


def test_a_generated_key_can_be_installed() -> None:
    assert call("key", "generate").output.startswith("pp_")


def test_a_key_for_a_deleted_tenant_is_rejected_with_its_state(store: tuple[str, Path]) -> None:
    call("tenant", "create", "acme", *store)
    call("tenant", "delete", "acme", *store)
    rejected = call("key", "create", "acme", *store)
    assert (rejected.code, "'acme' is deleted" in rejected.error) == (2, True)


def test_the_last_key_of_an_operator_can_be_revoked_here(store: tuple[str, Path]) -> None:
    key = call("key", "create", "--role", "operator", *store).output.strip()
    assert call("key", "revoke", key.split("_")[1], *store).code == 0


@pytest.mark.parametrize("days", ["0", "-1", "1e99", "nan"])
def test_a_time_of_expiry_out_of_range_is_rejected(store: tuple[str, Path], days: str) -> None:
    assert call("key", "create", "acme", "--expires-in-days", days, *store).code == 2


def test_usage_is_printed_as_csv_or_json_lines(store: tuple[str, Path]) -> None:
    registry = open_registry(store[1])
    hours = [datetime(2026, 11, 29, hour, tzinfo=UTC) for hour in (9, 10)]
    rows = [
        UsageRow(hours[0], "acme", "acme/spam", 1, key_id="a" * 12),
        UsageRow(hours[1], "zoo", "zoo/mood", 2),
    ]
    UsageLog(registry.database).add(rows)
    registry.close()
    table = list(csv.DictReader(call("usage", *store).output.splitlines()))
    assert [(row["tenant"], row["requests"]) for row in table] == [("acme", "1"), ("zoo", "2")]
    lines = call("usage", "--format", "ndjson", "--since", "2026-11-29T10:00:00", *store).output
    assert json.loads(lines)["task"] == "zoo/mood"
    assert len(call("usage", "--task", "acme/spam", *store).output.splitlines()) == 2
    assert len(call("usage", "--tenant", "nobody", *store).output.splitlines()) == 1
    (of_key,) = csv.DictReader(call("usage", "--by", "key", *store).output.splitlines())
    assert (of_key["key_id"], of_key["task"]) == ("a" * 12, "")
    other = call("usage", "--by", "key", "--key-id", "b" * 12, *store)
    assert len(other.output.splitlines()) == 1
    for wrong in (("--key-id", "b" * 12), ("--by", "key", "--task", "acme/spam")):
        assert call("usage", *wrong, *store).code == 2


def test_a_prefix_is_shared_with_a_tenant_or_with_everyone(
    store: tuple[str, Path], backbone: Backbone
) -> None:
    registry = open_registry(store[1])
    registry.ensure_tenant("acme")
    put(registry, "acme/spam", make_prefix(backbone.fingerprint))
    registry.close()

    def readers() -> list[str]:
        return call("prefix", "readers", "acme/spam", *store).output.split()

    assert call("prefix", "share", "acme/spam", "zoo", *store).code == 0
    assert call("prefix", "share", "acme/spam", "--public", *store).code == 0
    assert readers() == ["*", "zoo"]
    listed = json.loads(call("prefix", "readers", "acme/spam", "--json", *store).output)
    assert listed == {"is_public": True, "tenants": ["zoo"]}
    assert call("prefix", "unshare", "acme/spam", "--public", *store).code == 0
    assert readers() == ["zoo"]
    assert call("prefix", "unshare", "acme/spam", "zoo", *store).code == 0
    assert readers() == []


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("acme/spam",), "either a READER or --public"),
        (("acme/spam", "zoo", "--public"), "either a READER or --public"),
        (("acme/spam@1", "zoo"), "write acme/spam"),
        (("acme/none", "zoo"), "not found"),
        (("acme/spam", "Zoo"), "Invalid tenant name"),
    ],
)
def test_a_share_that_makes_no_sense_is_rejected(
    store: tuple[str, Path], arguments: tuple[str, ...], reason: str
) -> None:
    rejected = call("prefix", "share", *arguments, *store)
    assert (rejected.code, reason.lower() in rejected.error.lower()) == (2, True)


def test_the_audit_log_is_printed_as_csv_or_json_lines(store: tuple[str, Path]) -> None:
    key_id = call("key", "create", "acme", *store).output.split("_")[1]
    call("tenant", "create", "zoo", *store)
    table = list(csv.DictReader(call("audit", *store).output.splitlines()))
    assert [(row["action"], row["object"]) for row in table] == [
        ("tenant.create", "zoo"),
        ("key.issue", key_id),
        ("tenant.create", "acme"),
    ]
    assert {row["actor"] for row in table} == {"command line"}
    lines = call("audit", "--tenant", "acme", "--format", "ndjson", *store).output.splitlines()
    assert [json.loads(line)["action"] for line in lines] == ["key.issue", "tenant.create"]
    assert call("audit", "--format", "ndjson", "--until", "2020-01-01", *store).output == ""
    assert call("audit", "--since", "yesterday", *store).code == 2


def test_limits_of_a_tenant_and_a_key_are_set_and_shown(store: tuple[str, Path]) -> None:
    call("tenant", "create", "acme", *store)
    done = call(
        "limits", "set", "acme", "--requests-per-second", 2.5, "--max-prefixes", "unlimited", *store
    )
    assert "requests_per_second\t2.5\tset" in done.output
    call("limits", "set", "acme", "--weight", 3, "--max-prefixes", "default", *store)
    shown = json.loads(call("limits", "show", "acme", "--json", *store).output)
    assert shown["limits"] == {"requests_per_second": 2.5, "weight": 3}
    assert shown["applied"]["max_prefixes"] == "unlimited"
    key_id = call("key", "create", "acme", *store).output.split("_")[1]
    call("limits", "set", "acme", "--key", key_id, "--max-in-flight-texts", 4, *store)
    assert call("limits", "show", "acme", "--key", key_id, *store).output == (
        "max_in_flight_texts\t4\tset\n"
    )
    refused = call("limits", "set", "acme", "--key", key_id, "--requests-per-second", 3, *store)
    assert refused.code != 0
    assert "the limit of the tenant is 2.5" in refused.error
    wrong = call("limits", "set", "acme", "--weight", "much", *store)
    assert (wrong.code, "`unlimited` or `default`" in wrong.error) == (2, True)
