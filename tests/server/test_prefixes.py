import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from prefixes import digest_of
from prefixes.backbone import Backbone
from server.api.file_responses import OpenFileResponse
from tests.factories import make_prefix
from tests.server.conftest import Serve
from tests.server.rest import TYPED, Rest, on_a_port, until

TENANTS = "/v1/tenants"
_SEEDS = itertools.count(1000)


def file_for(backbone: Backbone) -> bytes:
    """A prefix file that no other test has."""
    return make_prefix(backbone.fingerprint, seed=next(_SEEDS)).to_bytes()


def show(rest: Rest, task: str) -> dict[str, Any]:
    entry: dict[str, Any] = rest.call("GET", f"{TENANTS}/acme/prefixes/{task}", "acme").json()
    return entry


def test_an_upload_is_served_immediately(rest: Rest, backbone: Backbone) -> None:
    data = file_for(backbone)
    response = rest.upload("acme/fresh", data, by="acme")
    assert response.status_code == 201
    version = response.json()
    assert (version["ref"], version["is_new"]) == ("acme/fresh@1", True)
    assert version["digest"] == digest_of(data)
    assert version["size_bytes"] == len(data)
    assert response.headers["location"] == f"{TENANTS}/acme/prefixes/fresh/versions/1"
    answer = rest.call("POST", "/v1/classify", "acme", json={"model": "fresh", "input": "good"})
    assert answer.json()["results"][0]["model"] == "acme/fresh@1"


def test_uploading_the_same_bytes_returns_the_same_version(rest: Rest, backbone: Backbone) -> None:
    data = file_for(backbone)
    first = rest.upload("acme/again", data, by="acme")
    second = rest.upload("acme/again", data, by="acme")
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == first.json() | {"is_new": False}


def test_the_alias_of_an_upload_points_to_it_and_others_stay(
    rest: Rest, backbone: Backbone
) -> None:
    rest.upload("acme/moving", file_for(backbone), by="acme")
    rest.upload("acme/moving", file_for(backbone), by="acme", alias="trial")
    entry = show(rest, "moving")
    assert {alias["name"]: alias["version"] for alias in entry["aliases"]} == {
        "live": 1,
        "trial": 2,
    }
    assert [version["version"] for version in entry["versions"]] == [1, 2]


def test_promote_and_rollback_apply_at_once_and_are_recorded(
    rest: Rest, backbone: Backbone
) -> None:
    for _ in range(2):
        rest.upload("acme/swing", file_for(backbone), by="acme")
    body = {"model": "acme/swing", "input": "good"}

    def served() -> str:
        answer = rest.call("POST", "/v1/classify", "acme", json=body).json()
        return str(answer["results"][0]["model"])

    path = f"{TENANTS}/acme/prefixes/swing/aliases/live"
    assert served() == "acme/swing@1"
    promoted = rest.call("PUT", path, "acme", json={"version": 2})
    assert (promoted.status_code, promoted.json()["ref"]) == (200, "acme/swing@2")
    assert served() == "acme/swing@2"
    rolled_back = rest.call("POST", f"{path}/rollback", "acme")
    assert (rolled_back.status_code, rolled_back.json()["version"]) == (200, 1)
    assert served() == "acme/swing@1"
    (alias,) = show(rest, "swing")["aliases"]
    assert [move["kind"] for move in alias["history"]] == ["publish", "promote", "rollback"]
    assert rest.call("POST", f"{path}/rollback", "acme").status_code == 409


def promote(rest: Rest, task: str, version: int, **headers: str) -> httpx.Response:
    path = f"{TENANTS}/acme/prefixes/{task}/aliases/live"
    return rest.call("PUT", path, "acme", json={"version": version}, headers=headers)


def test_an_alias_moves_only_from_the_version_that_the_caller_has_seen(
    rest: Rest, backbone: Backbone
) -> None:
    for _ in range(3):
        rest.upload("acme/race", file_for(backbone), by="acme")
    first = promote(rest, "race", 2, **{"If-Match": '"1"'})
    assert (first.status_code, first.headers["etag"]) == (200, '"2"')
    late = promote(rest, "race", 3, **{"If-Match": '"1"'})
    assert (late.status_code, late.json()["code"]) == (412, "alias_moved")
    assert show(rest, "race")["aliases"][0]["version"] == 2
    again = promote(rest, "race", 2, **{"If-Match": '"1"'})
    assert again.status_code == 200, "a repeated request must succeed"
    assert promote(rest, "race", 3, **{"If-Match": first.headers["etag"]}).status_code == 200


def test_an_alias_is_created_only_if_it_does_not_exist(rest: Rest, backbone: Backbone) -> None:
    for _ in range(2):
        rest.upload("acme/once", file_for(backbone), by="acme")
    missing = {"If-None-Match": "*"}
    assert promote(rest, "once", 2, **missing).status_code == 412
    path = f"{TENANTS}/acme/prefixes/once/aliases/next"
    made = rest.call("PUT", path, "acme", json={"version": 2}, headers=missing)
    assert made.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"If-Match": "1"},
        {"If-Match": '""'},
        {"If-Match": 'W/"1"'},
        {"If-Match": '"one"'},
        {"If-Match": "*"},
        {"If-None-Match": '"1"'},
        {"If-Match": '"1"', "If-None-Match": "*"},
    ],
)
def test_other_preconditions_are_rejected(
    rest: Rest, backbone: Backbone, headers: dict[str, str]
) -> None:
    rest.upload("acme/strict", file_for(backbone), by="acme")
    rejected = promote(rest, "strict", 1, **headers)
    assert (rejected.status_code, rejected.json()["code"]) == (400, "bad_precondition")


def test_a_dry_run_checks_a_file_and_publishes_nothing(rest: Rest, backbone: Backbone) -> None:
    data = file_for(backbone)
    path = f"{TENANTS}/acme/prefixes/rehearsed/versions?dry_run=true"
    checked = rest.call("POST", path, "acme", files={"file": data})
    assert (checked.status_code, checked.json()["digest"]) == (200, digest_of(data))
    assert checked.json()["task_type"] == "sequence_classification"
    assert rest.call("GET", f"{TENANTS}/acme/prefixes/rehearsed", "acme").status_code == 404
    bad_alias = rest.call("POST", path, "acme", files={"file": data}, data={"alias": "not valid"})
    assert bad_alias.status_code == 422
    broken = rest.call("POST", path, "acme", files={"file": data[:-1]})
    assert (broken.status_code, broken.json()["code"]) == (422, "prefix_rejected")
    assert broken.json()["findings"]


def test_a_version_is_shown_with_its_description(rest: Rest) -> None:
    response = rest.call("GET", f"{TENANTS}/examples/prefixes/topics/versions/1")
    version = response.json()
    assert version["ref"] == "examples/topics@1"
    assert version["spec"]["labels"] == ["art", "sport", "trade", "war"]
    assert version["spec"]["backbone"]["model_type"] == "bert"
    assert version["metrics"] == {}


def test_a_download_returns_the_uploaded_bytes_and_their_digest(
    rest: Rest, backbone: Backbone
) -> None:
    data = file_for(backbone)
    rest.upload("acme/back", data, by="acme")
    path = f"{TENANTS}/acme/prefixes/back/versions/1/file"
    response = rest.call("GET", path, "acme")
    assert response.content == data
    assert response.headers["etag"] == f'"{digest_of(data)}"'
    again = rest.call("GET", path, "acme", headers={"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    rest_of_it = rest.call("GET", path, "acme", headers={"Range": "bytes=100-"})
    assert (rest_of_it.status_code, rest_of_it.content) == (206, data[100:])


def test_a_download_during_a_delete_is_complete_or_not_found(
    rest: Rest, backbone: Backbone
) -> None:
    files = [file_for(backbone) for _ in range(40)]
    expected = {digest_of(data) for data in files}
    found: list[tuple[int, str]] = []
    is_done = threading.Event()

    def download() -> None:
        with rest.client("acme") as client:
            while not is_done.is_set():
                for version in range(1, len(files) + 1):
                    path = f"{TENANTS}/acme/prefixes/vanishing/versions/{version}/file"
                    answer = client.get(path)
                    found.append((answer.status_code, digest_of(answer.content)))

    with ThreadPoolExecutor(4) as receivers:
        downloads = [receivers.submit(download) for _ in range(4)]
        try:
            for data in files:
                rest.upload("acme/vanishing", data, by="acme")
                seen = len(found)
                until(lambda seen=seen: len(found) > seen + 4)  # type: ignore[misc]
                assert rest.call("DELETE", f"{TENANTS}/acme/prefixes/vanishing", "acme").is_success
        finally:
            is_done.set()
        for job in downloads:
            job.result()
    assert {status for status, _ in found} <= {200, 404}
    assert {digest for status, digest in found if status == 200} <= expected


@pytest.mark.parametrize(
    ("header", "status", "expected"),
    [
        ("", 200, b"0123456789"),
        ("bytes=2-4", 206, b"234"),
        ("bytes=-3", 206, b"789"),
    ],
)
def test_a_file_deleted_after_opening_is_sent_completely(
    tmp_path: Path, header: str, status: int, expected: bytes
) -> None:
    path = tmp_path / "blob"
    path.write_bytes(b"0123456789")
    file = path.open("rb")
    path.unlink()
    app = OpenFileResponse(file, headers={"ETag": '"digest"'}, media_type="text/plain")
    with on_a_port(app, lifespan="off") as url:
        answer = httpx.get(url, headers={"Range": header} if header else {})
    assert (answer.status_code, answer.content) == (status, expected)
    assert answer.headers["etag"] == '"digest"'
    assert file.closed


def test_only_versions_without_an_alias_can_be_deleted(rest: Rest, backbone: Backbone) -> None:
    for _ in range(2):
        rest.upload("acme/shrink", file_for(backbone), by="acme")
    versions = f"{TENANTS}/acme/prefixes/shrink/versions"
    refused = rest.call("DELETE", f"{versions}/1", "acme")
    assert (refused.status_code, refused.json()["code"]) == (409, "version_in_use")
    assert rest.call("DELETE", f"{versions}/2", "acme").status_code == 204
    assert rest.call("GET", f"{versions}/2", "acme").status_code == 404


def test_a_deleted_prefix_is_not_found(rest: Rest, backbone: Backbone) -> None:
    rest.upload("acme/gone", file_for(backbone), by="acme")
    body = {"model": "acme/gone", "input": "good"}
    assert rest.call("POST", "/v1/classify", "acme", json=body).status_code == 200
    assert rest.call("DELETE", f"{TENANTS}/acme/prefixes/gone", "acme").status_code == 204
    assert rest.call("POST", "/v1/classify", "acme", json=body).status_code == 404


def test_a_list_has_only_prefixes_that_the_caller_may_use(rest: Rest) -> None:
    def tasks(tenant: str, by: str | None) -> set[str]:
        listed = rest.call("GET", f"{TENANTS}/{tenant}/prefixes", by).json()["prefixes"]
        return {item["task"] for item in listed}

    assert tasks("examples", None) == {"mood", "topics", "rating", *TYPED}
    assert tasks("zoo", "zoo") == {"secret"}
    assert tasks("zoo", "acme") == tasks("zoo", None) == tasks("nobody", "acme") == set()


def test_models_are_those_of_the_caller_and_public_ones(rest: Rest) -> None:
    def owners(by: str | None) -> set[str]:
        listed = rest.call("GET", "/v1/models", by).json()
        assert listed["object"] == "list"
        return {model["owned_by"] for model in listed["data"]}

    assert owners(None) == {"examples"}
    assert owners("zoo") == {"examples", "zoo"}
    models = rest.call("GET", "/v1/models", "zoo").json()["data"]
    mine = {model["id"]: model["root"] for model in models if model["owned_by"] == "zoo"}
    assert mine == {"zoo/secret:live": "zoo/secret@1", "zoo/secret@1": "zoo/secret@1"}
    assert all(abs(model["created"] - time.time()) < 3600 for model in models)


@pytest.mark.parametrize("task", TYPED)
def test_lists_and_versions_name_the_task_type(rest: Rest, task: str) -> None:
    models = rest.call("GET", "/v1/models").json()["data"]
    types = {model["id"]: model["task_type"] for model in models}
    assert types[f"examples/{task}:live"] == types[f"examples/{task}@1"] == TYPED[task]
    assert types["examples/mood:live"] == "sequence_classification"
    version = rest.call("GET", f"{TENANTS}/examples/prefixes/{task}/versions/1").json()
    assert version["task_type"] == version["spec"]["task_type"] == TYPED[task]


READS: list[tuple[str, str, Any]] = [
    ("GET", "/{tenant}/prefixes/{task}", None),
    ("GET", "/{tenant}/prefixes/{task}/versions/1", None),
    ("GET", "/{tenant}/prefixes/{task}/versions/1/file", None),
]
WRITES: list[tuple[str, str, Any]] = [
    ("POST", "/{tenant}/prefixes/{task}/versions", None),
    ("DELETE", "/{tenant}/prefixes/{task}/versions/1", None),
    ("DELETE", "/{tenant}/prefixes/{task}", None),
    ("PUT", "/{tenant}/prefixes/{task}/aliases/live", {"version": 1}),
    ("POST", "/{tenant}/prefixes/{task}/aliases/live/rollback", None),
]
EVERY = pytest.mark.parametrize(("method", "path", "body"), READS + WRITES)


def answer(rest: Rest, how: tuple[str, str, Any], ref: str, by: str | None) -> tuple[int, str]:
    """Status and body of a call, with the names in it blanked."""
    method, path, body = how
    tenant, task = ref.split("/")
    response = rest.call(method, TENANTS + path.format(tenant=tenant, task=task), by, json=body)
    return response.status_code, response.text.replace(tenant, "TENANT").replace(task, "TASK")


@EVERY
def test_another_tenants_prefix_looks_like_a_missing_one(
    rest: Rest, method: str, path: str, body: Any
) -> None:
    how = (method, path, body)
    there = answer(rest, how, "zoo/secret", "acme")
    assert there[0] == 404
    assert there == answer(rest, how, "zoo/absent", "acme")
    assert there == answer(rest, how, "nobody/absent", "acme")
    if (method, path) != ("POST", "/{tenant}/prefixes/{task}/versions"):  # one's own is made
        assert there == answer(rest, how, "acme/absent", "acme")


@EVERY
def test_an_anonymous_caller_needs_a_key_for_private_and_missing_prefixes(
    rest: Rest, method: str, path: str, body: Any
) -> None:
    how = (method, path, body)
    there = answer(rest, how, "zoo/secret", None)
    assert there[0] == 401
    assert there == answer(rest, how, "zoo/absent", None)
    assert there == answer(rest, how, "nobody/absent", None)


@pytest.mark.parametrize("by", [None, "acme"])
@pytest.mark.parametrize(("method", "path", "body"), READS)
def test_anyone_may_read_public_prefixes(
    rest: Rest, method: str, path: str, body: Any, by: str | None
) -> None:
    assert answer(rest, (method, path, body), "examples/mood", by)[0] == 200


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_no_tenant_may_change_another_not_even_a_public_one(
    rest: Rest, method: str, path: str, body: Any
) -> None:
    assert answer(rest, (method, path, body), "examples/mood", None)[0] == 401
    assert answer(rest, (method, path, body), "examples/mood", "acme")[0] == 404
    assert rest.call("GET", f"{TENANTS}/examples/prefixes/mood").status_code == 200


@EVERY
def test_a_revoked_key_is_rejected(serve: Serve, method: str, path: str, body: Any) -> None:
    rest, _ = serve()
    key = rest.keys["acme"]
    from prefixes.registry import ApiKeys

    ApiKeys(rest.registry.database).revoke(key.split("_")[1])
    for ref in ("acme/mood", "examples/mood"):
        assert answer(rest, (method, path, body), ref, "acme")[0] == 401


@pytest.mark.parametrize("version", ["0", "-1", "x", "1e9", "99999999999"])
def test_a_version_that_is_not_a_number_is_reported(rest: Rest, version: str) -> None:
    response = rest.call("GET", f"{TENANTS}/examples/prefixes/mood/versions/{version}")
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


def test_an_alias_may_not_look_like_a_version(rest: Rest) -> None:
    path = f"{TENANTS}/acme/prefixes/mood/aliases/7"
    response = rest.call("PUT", path, "acme", json={"version": 1})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_name")


def test_writes_that_wait_do_not_delay_requests(rest: Rest) -> None:
    path = f"{TENANTS}/acme/prefixes/mood/aliases/queued"

    def promote() -> int:
        return rest.call("PUT", path, "acme", json={"version": 1}).status_code

    with ThreadPoolExecutor(50) as senders, rest.client("acme") as client:
        with rest.registry.database.write():  # somebody else's change takes its time
            promotions = [senders.submit(promote) for _ in range(50)]
            until(lambda: sum(job.running() for job in promotions) == 50)
            time.sleep(0.5)  # for all of them to reach the server
            answer = client.post("/v1/classify", json={"model": "mood", "input": "good"}, timeout=8)
            assert client.get("/readyz", timeout=8).status_code == 200
        assert answer.status_code == 200
        assert {job.result() for job in promotions} == {200}
