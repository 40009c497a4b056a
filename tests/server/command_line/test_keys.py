from pathlib import Path

import pytest

from prefixes.registry import ApiKeys, open_registry
from server.command_line.next_step import program
from tests.server.command_line.caller import call


def test_a_key_authenticates_its_tenant_until_it_is_revoked(tmp_path: Path) -> None:
    store = ("--store-folder", tmp_path)
    created = call("key", "create", "acme", "--label", "laptop", *store)
    assert created.code == 0
    key = created.output.strip()
    registry = open_registry(tmp_path)
    keys = ApiKeys(registry.database)
    identity = keys.authenticate(key)
    assert identity is not None
    assert (identity.tenant, identity.role) == ("acme", "admin")
    assert not registry.tenant("acme").is_public
    key_id = key.split("_")[1]
    listed = call("key", "list", "acme", *store).output
    assert key_id in listed
    assert "laptop" in listed
    assert key not in listed
    assert call("key", "revoke", key_id, *store).code == 0
    assert keys.authenticate(key) is None
    assert "revoked" in call("key", "list", "acme", *store).output
    registry.close()


def test_a_second_key_leaves_a_public_tenant_public(tmp_path: Path) -> None:
    store = ("--store-folder", tmp_path)
    call("key", "create", "acme", "--public", *store)
    call("key", "create", "acme", *store)
    registry = open_registry(tmp_path)
    assert registry.tenant("acme").is_public
    registry.close()


def test_a_program_that_the_search_path_does_not_have_is_named_by_its_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.argv", [".venv/bin/polyprefix"])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program() == ".venv/bin/polyprefix"
    (tmp_path / "polyprefix").touch(mode=0o755)
    assert program() == "polyprefix"
