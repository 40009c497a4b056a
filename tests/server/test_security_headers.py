"""Every response, also one that no route made, has the headers that protect browsers."""

from typing import Final

import httpx
import pytest

from server.api.middleware.security_headers import HEADERS
from tests.server.conftest import Serve
from tests.server.hosting.test_bounded_http import connected, until_closed
from tests.server.rest import Rest

EXPECTED: Final = {name.decode(): value.decode() for name, value in HEADERS}

ORIGIN: Final = {"Origin": "https://app.example.org"}


def check(response: httpx.Response) -> None:
    """Each header is there once."""
    for name, value in EXPECTED.items():
        assert response.headers.get_list(name) == [value], (response.request.url, name)


@pytest.mark.parametrize(
    ("method", "path", "key", "status"),
    [
        ("GET", "/", None, 200),
        ("HEAD", "/livez", None, 200),
        ("GET", "/metrics", None, 200),
        ("GET", "/openapi.json", None, 200),
        ("GET", "/no/such/route", None, 404),
        ("DELETE", "/livez", None, 405),
        ("POST", "/v1/classify", None, 422),
        ("GET", "/v1/tenants/acme/prefixes/mood", None, 401),
        ("GET", "/v1/tenants/acme/prefixes/mood/versions/1/file", "acme", 200),
        ("GET", "/docs/assets/swagger-ui.css", None, 200),
    ],
)
def test_every_response_has_the_headers(
    rest: Rest, method: str, path: str, key: str | None, status: int
) -> None:
    response = rest.call(method, path, key)
    assert response.status_code == status
    check(response)


def test_the_documentation_page_has_a_policy_of_its_own(rest: Rest) -> None:
    headers = rest.call("GET", "/docs").headers
    (policy,) = headers.get_list("content-security-policy")
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"


def test_a_response_to_input_that_is_not_http_has_the_headers(rest: Rest) -> None:
    with connected(rest.url) as connection:
        connection.sendall(b"HELLO\r\n\r\n")
        answer = until_closed(connection).decode()
    for name, value in EXPECTED.items():
        assert f"\r\n{name}: {value}\r\n" in answer


def test_a_response_to_a_bug_has_the_headers(serve: Serve) -> None:
    rest, engine = serve()
    engine.failure = RuntimeError("a bug")
    response = rest.call("POST", "/v1/classify", json={"model": "examples/mood", "input": "good"})
    assert response.status_code == 500
    check(response)


def test_a_preflight_response_has_the_headers(serve: Serve) -> None:
    rest, _ = serve(cors_origins=ORIGIN["Origin"])
    asked = {**ORIGIN, "Access-Control-Request-Method": "POST"}
    response = rest.call("OPTIONS", "/v1/classify", headers=asked)
    assert response.status_code == 200
    check(response)
    assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize(
    ("forwarded", "is_expected"), [({"X-Forwarded-Proto": "https"}, True), ({}, False)]
)
def test_only_clients_of_tls_are_told_to_keep_it(
    rest: Rest, forwarded: dict[str, str], *, is_expected: bool
) -> None:
    response = rest.call("GET", "/livez", headers=forwarded)
    assert ("strict-transport-security" in response.headers) is is_expected


@pytest.mark.parametrize(
    "path", ["/v1/tenants/acme/keys", "/v1/operator-keys"], ids=["tenant", "operator"]
)
def test_a_response_with_a_key_is_not_stored(rest: Rest, path: str) -> None:
    body = {"role": "infer"} if "tenants" in path else {}
    made = rest.call("POST", path, "operator", json=body)
    rotated = rest.call("POST", f"{path}/{made.json()['id']}/rotate", "operator", json={})
    for response in (made, rotated):
        assert response.status_code == 201
        assert response.json()["key"].startswith("pp_")
        assert response.headers["cache-control"] == "no-store"
