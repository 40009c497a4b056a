"""A store of version 0.1.0 is served: every prefix, version, alias, key and training."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from prefixes import digest_of
from prefixes.backbone import Backbone
from prefixes.registry import ApiKeys, open_registry
from tests.prefixes.old_databases import KEYS_0_1_0, copy_store_0_1_0
from tests.server.rest import FakeEngine, Rest, serving


@pytest.fixture
def rest(backbone: Backbone, tmp_path: Path) -> Iterator[Rest]:
    folder = tmp_path / "store"
    copy_store_0_1_0(folder)
    registry = open_registry(folder)
    operator = ApiKeys(registry.database).issue(None, "test", role="operator").key
    with serving(folder, backbone, FakeEngine(registry)) as running:
        running.keys |= {**KEYS_0_1_0, "operator": operator}
        yield running


def rows(rest: Rest, query: str) -> list[Any]:
    """Read the database itself."""
    with closing(sqlite3.connect(rest.folder / "registry.db")) as connection:
        return connection.execute(query).fetchall()


def test_every_version_is_listed_downloaded_and_run(rest: Rest) -> None:
    found = rows(
        rest,
        "SELECT tenants.name, prefixes.task, versions.number, versions.digest FROM versions "
        "JOIN prefixes ON prefixes.id = versions.prefix_id "
        "JOIN tenants ON tenants.id = prefixes.tenant_id",
    )
    assert len(found) >= 3
    for tenant, task, number, digest in found:
        key = tenant if tenant in rest.keys else None
        path = f"/v1/tenants/{tenant}/prefixes/{task}/versions/{number}"
        assert rest.call("GET", path, key).json()["digest"] == digest
        assert digest_of(rest.call("GET", f"{path}/file", key).content) == digest
        body = {"model": f"{tenant}/{task}@{number}", "input": "good"}
        response = rest.call("POST", "/v1/classify", key, json=body)
        assert response.status_code == 200, response.text


def test_every_alias_is_run_promoted_and_rolled_back(rest: Rest) -> None:
    found = rows(
        rest,
        "SELECT tenants.name, prefixes.task, aliases.name, aliases.version FROM aliases "
        "JOIN prefixes ON prefixes.id = aliases.prefix_id "
        "JOIN tenants ON tenants.id = prefixes.tenant_id",
    )
    assert found
    for tenant, task, alias, version in found:
        body = {"model": f"{tenant}/{task}:{alias}", "input": "good"}
        key = tenant if tenant in rest.keys else "operator"
        response = rest.call("POST", "/v1/classify", key, json=body)
        assert response.json()["results"][0]["model"] == f"{tenant}/{task}@{version}"
        path = f"/v1/tenants/{tenant}/prefixes/{task}/aliases/{alias}"
        promoted = rest.call("PUT", path, "operator", json={"version": version})
        assert promoted.status_code == 200, promoted.text


def test_every_training_is_shown(rest: Rest) -> None:
    found = rows(
        rest,
        "SELECT trainings.id, tenants.name FROM trainings "
        "JOIN tenants ON tenants.id = trainings.tenant_id",
    )
    assert found
    for training, tenant in found:
        shown = rest.call("GET", f"/v1/tenants/{tenant}/trainings/{training}", tenant)
        assert shown.json()["state"] == "succeeded"


def test_every_key_is_listed_and_works_as_before(rest: Rest) -> None:
    found = rows(rest, "SELECT id, revoked_at FROM api_keys WHERE role != 'operator'")
    assert len(found) >= 3
    listed = {
        key["id"]: (key["role"], key["state"])
        for tenant in KEYS_0_1_0
        for key in rest.call("GET", f"/v1/tenants/{tenant}/keys", tenant).json()["keys"]
    }
    assert listed == {
        key_id: ("admin", "revoked" if revoked_at else "valid") for key_id, revoked_at in found
    }
    assert rest.call("GET", "/v1/audit", "acme").status_code == 200
