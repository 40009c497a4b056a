"""The header `Idempotency-Key` on uploads, promotions and rollbacks."""

from typing import Any, Final

import httpx
import pytest

from prefixes.backbone import Backbone
from tests.factories import make_prefix
from tests.server.conftest import Serve
from tests.server.management import manage
from tests.server.rest import Rest, put

LIVE: Final = "/v1/tenants/acme/prefixes/mood/aliases/live"
KEY: Final = {"Idempotency-Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}


@pytest.fixture
def rest(serve: Serve, backbone: Backbone) -> Rest:
    """A server where `live` of acme/mood pointed to three versions in turn."""
    rest, _ = serve()
    for seed in (80, 81):
        put(rest.registry, "acme/mood", make_prefix(backbone.fingerprint, seed=seed))
    return rest


def upload(rest: Rest, data: bytes, task: str = "mood", **form: str) -> httpx.Response:
    path = f"/v1/tenants/acme/prefixes/{task}/versions"
    return rest.call("POST", path, "acme", files={"file": ("f", data)}, data=form, headers=KEY)


def live(rest: Rest) -> int:
    (alias,) = manage(rest, "GET", "/tenants/acme/prefixes/mood", "acme")["aliases"]
    version: int = alias["version"]
    return version


def test_a_repeated_upload_gets_the_first_response(rest: Rest, backbone: Backbone) -> None:
    data = make_prefix(backbone.fingerprint, seed=82).to_bytes()
    first = upload(rest, data, alias="live")
    manage(rest, "PUT", LIVE.removeprefix("/v1"), "acme", json={"version": 1})
    again = upload(rest, data, alias="live")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert live(rest) == 1


def test_the_same_bytes_give_the_same_version_without_a_key(rest: Rest, backbone: Backbone) -> None:
    data = make_prefix(backbone.fingerprint, seed=82).to_bytes()
    first, again = (rest.upload("acme/mood", data, by="acme") for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json() | {"is_new": False}


@pytest.mark.parametrize("change", ["bytes", "alias", "task"])
def test_another_upload_with_the_same_key_is_rejected(
    rest: Rest, backbone: Backbone, change: str
) -> None:
    data = make_prefix(backbone.fingerprint, seed=82).to_bytes()
    assert upload(rest, data).status_code == 201
    other = make_prefix(backbone.fingerprint, seed=83).to_bytes()
    answer = {
        "bytes": lambda: upload(rest, other),
        "alias": lambda: upload(rest, data, alias="next"),
        "task": lambda: upload(rest, data, task="other"),
    }[change]()
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


def test_a_repeated_rollback_goes_back_once(rest: Rest) -> None:
    answers = [rest.call("POST", f"{LIVE}/rollback", "acme", headers=KEY) for _ in range(3)]
    assert [answer.json()["version"] for answer in answers] == [2, 2, 2]
    assert [answer.headers["etag"] for answer in answers] == ['"2"'] * 3
    assert live(rest) == 2
    bare = {"Idempotency-Key": KEY["Idempotency-Key"].strip('"')}
    assert rest.call("POST", f"{LIVE}/rollback", "acme", headers=bare).json()["version"] == 2
    assert rest.call("POST", f"{LIVE}/rollback", "acme").json()["version"] == 1


def test_a_repeated_promotion_succeeds_without_its_condition(rest: Rest) -> None:
    body: dict[str, Any] = {"version": 1}
    headers = KEY | {"If-Match": '"3"'}
    first, again = (rest.call("PUT", LIVE, "acme", json=body, headers=headers) for _ in range(2))
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    other = rest.call("PUT", LIVE, "acme", json={"version": 2}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert live(rest) == 1


def test_a_repeated_promotion_of_a_canary_gets_the_first_response(rest: Rest) -> None:
    canary = {"version": 1, "percent": 5}
    manage(rest, "PUT", f"{LIVE}/canary".removeprefix("/v1"), "acme", json=canary)
    path = f"{LIVE}/canary/promote"
    first, again = (rest.call("POST", path, "acme", headers=KEY) for _ in range(2))
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()


def test_a_rejected_upload_leaves_its_key_unused(rest: Rest, backbone: Backbone) -> None:
    assert upload(rest, b"not a prefix").status_code == 422
    data = make_prefix(backbone.fingerprint, seed=82).to_bytes()
    assert upload(rest, data).status_code == 201


@pytest.mark.parametrize("key", ["", '""', "a" * 256, "two words", '"half', "\xe9"])
def test_a_key_that_is_not_well_formed_is_rejected(rest: Rest, key: str) -> None:
    headers = {"Idempotency-Key": key.encode("latin-1")}
    with rest.client("acme") as client:
        answer = client.post(f"{LIVE}/rollback", headers=headers)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_idempotency_key")
    assert live(rest) == 3
