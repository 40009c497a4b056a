import logging
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from prefixes.errors import StoreUnavailable
from prefixes.registry import ApiKeys, PrefixRegistry, open_registry
from prefixes.registry.key_rows import new_key
from server.hosting import operator_key
from server.hosting.operator_key import ensure_operator_key
from server.settings import InvalidSettings, Settings
from tests.postgresql import PostgresServer


def start(folder: Path, given: str | None = None) -> ApiKeys:
    registry = open_registry(folder)
    secret = None if given is None else SecretStr(given)
    ensure_operator_key(registry.database, folder, secret)
    return ApiKeys(registry.database)


def test_the_first_start_writes_a_key_that_only_the_owner_can_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    keys = start(tmp_path)
    file = tmp_path / "operator-key"
    key = file.read_text().strip()
    identity = keys.authenticate(key)
    assert identity is not None
    assert (identity.role, identity.tenant) == ("operator", None)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert str(file) in caplog.text
    assert key not in caplog.text


def test_later_starts_make_no_other_key(tmp_path: Path) -> None:
    (first,) = start(tmp_path).list(None)
    (tmp_path / "operator-key").unlink()
    assert start(tmp_path).list(None) == (first,)
    assert not (tmp_path / "operator-key").exists()


def test_a_given_key_is_installed_and_none_is_made(tmp_path: Path) -> None:
    key = new_key()
    for _ in range(2):
        keys = start(tmp_path, key)
        assert keys.authenticate(key) is not None
        assert len(keys.list(None)) == 1
    assert not (tmp_path / "operator-key").exists()


def test_a_given_key_with_the_id_of_a_tenants_key_is_not_installed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registry = open_registry(tmp_path)
    registry.ensure_tenant("acme")
    theirs = ApiKeys(registry.database).issue("acme", "laptop").key
    start(tmp_path, theirs)
    assert "belongs to another key" in caplog.text
    assert ApiKeys(registry.database).list(None) == ()


def test_a_malformed_key_is_rejected_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYPREFIX_OPERATOR_KEY", "pp_not-a-key")
    with pytest.raises(InvalidSettings, match=r"OPERATOR_KEY.*not an API key") as caught:
        Settings.load()
    assert "pp_not-a-key" not in str(caught.value)
    monkeypatch.setenv("POLYPREFIX_OPERATOR_KEY", new_key())
    assert "pp_" not in repr(Settings.load().operator_key)


def test_a_given_key_that_was_revoked_stays_revoked_and_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = new_key()
    start(tmp_path, key).revoke(key.split("_")[1])
    assert start(tmp_path, key).authenticate(key) is None
    assert "is revoked or expired" in caplog.text
    assert key not in caplog.text


def test_a_store_that_cannot_be_written_does_not_prevent_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(operator_key, "write_atomically", fail)
    assert start(tmp_path).list(None) == ()
    assert "the disk is full" in caplog.text


def test_servers_that_start_at_the_same_time_make_one_key(
    tmp_path: Path, postgresql: PostgresServer
) -> None:
    url = postgresql.url(postgresql.create_database())
    folders = [tmp_path / name for name in ("one", "two", "three")]
    registries = [open_registry(tmp_path / "store", database_url=url) for _ in folders]

    def start_server(registry: PrefixRegistry, folder: Path) -> None:
        folder.mkdir()
        ensure_operator_key(registry.database, folder, None)

    with ThreadPoolExecutor() as threads:
        list(threads.map(start_server, registries, folders))
    (key,) = ApiKeys(registries[0].database).list(None)
    (file,) = tmp_path.glob("*/operator-key")
    assert file.read_text().split("_")[1] == key.id
    for registry in registries:
        registry.close()
