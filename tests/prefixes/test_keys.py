import hashlib
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from prefixes.errors import (
    ActingKeyInvalid,
    KeyNotFound,
    KeyNotValid,
    LastOperatorKey,
    TenantNotFound,
)
from prefixes.registry import Actor, ApiKeys, PrefixRegistry, Tenants, open_registry
from prefixes.registry.key_rows import new_key
from prefixes.registry.tables import now
from tests.prefixes.conftest import on_sqlite


@pytest.fixture
def keys(registry: PrefixRegistry) -> ApiKeys:
    return ApiKeys(registry.database)


def id_of(key: str) -> str:
    return key.split("_")[1]


def _tenant_of(keys: ApiKeys, key: str) -> str | None:
    identity = keys.authenticate(key)
    return None if identity is None else identity.tenant


def test_an_issued_key_proves_its_tenant(keys: ApiKeys) -> None:
    acme, examples = keys.issue("acme", "laptop").key, keys.issue("examples", "build").key
    assert re.fullmatch(r"pp_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", acme)
    assert _tenant_of(keys, acme) == "acme"
    assert _tenant_of(keys, examples) == "examples"


@on_sqlite
def test_only_the_hash_of_a_secret_reaches_the_disk(keys: ApiKeys, tmp_path: Path) -> None:
    key = keys.issue("acme", "laptop").key
    secret = key.split("_", 2)[2]
    stored = b"".join(
        path.read_bytes() for path in (tmp_path / "registry").rglob("*") if path.is_file()
    )
    assert hashlib.sha256(secret.encode()).hexdigest().encode() in stored
    assert secret.encode() not in stored


@pytest.mark.parametrize("key", ["", "pp_", "Bearer x", "pp_0123456789ab_short", "pp_\ud800_x"])
def test_text_that_is_no_key_proves_nobody(keys: ApiKeys, key: str) -> None:
    assert keys.authenticate(key) is None


def test_a_key_with_another_secret_or_another_id_proves_nobody(keys: ApiKeys) -> None:
    first, second = keys.issue("acme", "laptop").key, keys.issue("globex", "laptop").key
    _, number, secret = first.split("_", 2)
    other = "A" if secret[-1] != "A" else "B"
    assert keys.authenticate(f"pp_{number}_{secret[:-1]}{other}") is None
    assert keys.authenticate(f"pp_{id_of(second)}_{secret}") is None
    assert keys.authenticate(f"pp_{'0' * 12}_{secret}") is None
    assert keys.authenticate(f"{first}\n") is None


def test_a_revoked_key_proves_nobody_and_other_keys_still_do(keys: ApiKeys) -> None:
    revoked, kept = keys.issue("acme", "old").key, keys.issue("acme", "new").key
    keys.revoke(id_of(revoked))
    assert keys.authenticate(revoked) is None
    assert keys.authenticate(kept) is not None


def test_keys_are_listed_by_tenant_with_the_time_of_their_revocation(keys: ApiKeys) -> None:
    old, new = keys.issue("acme", "old").key, keys.issue("acme", "new").key
    keys.issue("globex", "theirs")
    keys.revoke(id_of(old))
    listed = keys.list("acme")
    assert [(key.id, key.tenant, key.label) for key in listed] == [
        (id_of(old), "acme", "old"),
        (id_of(new), "acme", "new"),
    ]
    assert listed[0].revoked_at is not None
    assert listed[0].revoked_at >= listed[0].created_at
    assert listed[0].created_at.tzinfo is not None
    assert listed[1].revoked_at is None


def test_revoking_again_keeps_the_time_of_the_first_revocation(keys: ApiKeys) -> None:
    key_id = id_of(keys.issue("acme", "old").key)
    keys.revoke(key_id)
    (before,) = keys.list("acme")
    keys.revoke(key_id)
    assert keys.list("acme") == (before,)


def test_an_issued_key_comes_with_what_is_stored_and_does_not_show_itself(keys: ApiKeys) -> None:
    issued = keys.issue("acme", "laptop", role="infer")
    assert issued.facts == keys.find(id_of(issued.key))
    rotated = keys.rotate(issued.facts.id, overlap=timedelta(hours=1))
    assert rotated.facts == keys.find(id_of(rotated.key))
    assert issued.key not in repr(issued)


def test_a_key_for_an_unknown_tenant_is_refused(keys: ApiKeys) -> None:
    with pytest.raises(TenantNotFound, match="'nobody'"):
        keys.issue("nobody", "laptop")


def test_revoking_an_unknown_key_says_what_an_id_is(keys: ApiKeys) -> None:
    with pytest.raises(KeyNotFound, match="between its first two underscores"):
        keys.revoke("unknown")


def test_a_key_without_a_tenant_cannot_be_stored(keys: ApiKeys, registry: PrefixRegistry) -> None:
    keys.issue("acme", "laptop")
    with pytest.raises(IntegrityError), registry.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM tenants WHERE name = 'acme'")


@on_sqlite
def test_a_key_that_expires_is_rejected_although_nothing_in_the_database_changes(
    keys: ApiKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = keys.issue("acme", "laptop", expires_at=now() + timedelta(hours=1)).key
    assert keys.authenticate(key) is not None
    assert keys.recall(key) is not None
    later = time.time() + 3601
    monkeypatch.setattr(time, "time", lambda: later)
    assert keys.recall(key) is None
    assert keys.authenticate(key) is None


def test_a_rotated_key_never_outlives_its_own_expiry(keys: ApiKeys) -> None:
    expires_at = now() + timedelta(hours=1)
    old = keys.issue("acme", "ci", role="upload", expires_at=expires_at).key
    new = keys.rotate(id_of(old), overlap=timedelta(days=1)).key
    assert keys.find(id_of(old)).expires_at == expires_at
    fresh = keys.find(id_of(new))
    assert (fresh.role, fresh.label, fresh.expires_at) == ("upload", "ci", None)


@pytest.mark.parametrize("state", ["revoked", "expired", "replaced"])
def test_a_key_that_is_not_valid_is_not_rotated(keys: ApiKeys, state: str) -> None:
    key_id = id_of(keys.issue("acme", "ci", expires_at=now() if state == "expired" else None).key)
    if state == "revoked":
        keys.revoke(key_id)
    if state == "replaced":
        keys.rotate(key_id, overlap=timedelta(days=1))
    with pytest.raises(KeyNotValid, match=f"is {state}"):
        keys.rotate(key_id, overlap=timedelta(0))


def test_a_request_cannot_revoke_the_last_valid_key_of_an_operator(keys: ApiKeys) -> None:
    first = id_of(keys.issue(None, "first", role="operator").key)
    keys.issue(None, "expired", role="operator", expires_at=now())
    request = Actor("operator", first, "request")
    with pytest.raises(LastOperatorKey):
        keys.revoke(first, by=request)
    keys.issue(None, "second", role="operator")
    keys.revoke(first, by=request)
    assert keys.find(first).revoked_at is not None


def test_a_request_cannot_let_the_last_key_of_an_operator_expire(keys: ApiKeys) -> None:
    only = id_of(keys.issue(None, "only", role="operator").key)
    request = Actor("operator", only, "request")
    soon = now() + timedelta(seconds=1)
    with pytest.raises(LastOperatorKey):
        keys.rotate(only, overlap=timedelta(0), expires_at=soon, by=request)
    keys.issue(None, "for a second", role="operator", expires_at=soon, by=request)
    with pytest.raises(LastOperatorKey):
        keys.revoke(only, by=request)
    assert keys.rotate(only, overlap=timedelta(0), by=request).key


@pytest.mark.parametrize("state", ["revoked", "expired", "suspended", "deleted"])
def test_a_request_whose_key_became_invalid_changes_nothing(
    registry: PrefixRegistry, keys: ApiKeys, state: str
) -> None:
    expires_at = now() if state == "expired" else None
    key = id_of(keys.issue("acme", "leaked", expires_at=expires_at).key)
    if state == "revoked":
        keys.revoke(key)
    elif state == "suspended":
        Tenants(registry.database).suspend("acme", by=Actor("test"))
    elif state == "deleted":
        Tenants(registry.database).delete("acme", by=Actor("test"))
    with pytest.raises(ActingKeyInvalid):
        keys.issue("globex", "minted", by=Actor("acme", key, "request"))
    assert keys.list("globex") == ()


def test_a_key_may_revoke_itself(keys: ApiKeys) -> None:
    key = id_of(keys.issue("acme", "own").key)
    keys.revoke(key, by=Actor("acme", key, "request"))
    assert keys.find(key).revoked_at is not None


def test_of_servers_that_start_at_once_only_one_makes_the_first_key(tmp_path: Path) -> None:
    stores = [open_registry(tmp_path) for _ in range(4)]
    begin = threading.Barrier(len(stores))
    saved: list[str] = []

    def start(registry: PrefixRegistry) -> bool:
        key = new_key()
        begin.wait()
        return ApiKeys(registry.database).install_first(
            key, "first", save=lambda: saved.append(key), by=Actor("startup")
        )

    with ThreadPoolExecutor(len(stores)) as threads:
        made = list(threads.map(start, stores))
    assert sorted(made) == [False, False, False, True]
    keys = ApiKeys(stores[0].database)
    assert [key.id for key in keys.list(None)] == [id_of(saved[0])]
    assert len(saved) == 1
    for registry in stores:
        registry.close()
