"""The page, the files and the session of the console. tests/console/ tests it in a browser."""

import json
import re
from http.client import HTTPConnection
from http.cookies import Morsel, SimpleCookie
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import pytest

import server.console
from tests.server.rest import Rest
from tests.server.test_bad_requests import check_problem

STATIC: Final = Path(server.console.__file__).parent / "static"
OTHER: Final = "http://127.0.0.1:9"
"""Another port of the same host: browsers consider it the same site, but another origin."""


def sign_in(rest: Rest, caller: str = "acme", **headers: str) -> httpx.Response:
    bearer = {"Authorization": f"Bearer {rest.keys[caller]}"}
    return rest.call("POST", "/console/session", headers=bearer | headers)


def cookie_of(response: httpx.Response) -> "Morsel[str]":
    (cookie,) = SimpleCookie(response.headers["set-cookie"]).values()
    return cookie


def call_with_cookie(
    rest: Rest, method: str, path: str, headers: dict[str, str], **how: Any
) -> httpx.Response:
    cookie = {"Cookie": f"polyprefix_key={rest.keys['acme']}"}
    return rest.call(method, path, headers=cookie | headers, **how)


@pytest.mark.parametrize(
    "path", ["", "/", "/tasks", "/tasks/acme/spam", "/no/such/screen", "/tasks/a%2Fb/%3Cscript%3E"]
)
def test_every_path_gets_the_same_page(rest: Rest, path: str) -> None:
    page = rest.call("GET", f"/console{path}")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-cache"
    assert page.text == rest.call("GET", "/console").text


def test_the_policy_allows_only_files_of_this_server(rest: Rest) -> None:
    page = rest.call("GET", "/console")
    (policy,) = page.headers.get_list("content-security-policy")
    parts = dict(part.strip().partition(" ")[::2] for part in policy.split(";"))
    assert parts["default-src"] == "'none'"
    assert parts["script-src"] == parts["style-src"] == parts["connect-src"] == "'self'"
    assert parts["frame-ancestors"] == parts["base-uri"] == parts["form-action"] == "'none'"
    assert parts["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]* src=)|<style|style=|onclick=|//", page.text)


def test_each_file_is_served_with_its_type_and_its_digest(rest: Rest) -> None:
    for file in STATIC.rglob("*.*"):
        name = file.relative_to(STATIC).as_posix()
        if name == "index.html":
            continue
        response = rest.call("GET", f"/console/static/{name}")
        assert response.content == file.read_bytes(), name
        kind = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
        assert response.headers["content-type"].partition(";")[0] == kind[file.suffix], name
        assert response.headers["cache-control"] == "no-cache"
        known = {"If-None-Match": response.headers["etag"]}
        again = rest.call("GET", f"/console/static/{name}", headers=known)
        assert (again.status_code, again.content) == (304, b"")
        stale = rest.call("GET", f"/console/static/{name}", headers={"If-None-Match": '"old"'})
        assert stale.status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "none.js", "", "index.html", "../pages.py", "..%2Fpages.py", "%2e%2e/pages.py",
        "screens", "screens/../../pages.py", "/etc/passwd", "..%5Cpages.py", "main.js%00",
    ],
)  # fmt: skip
def test_nothing_but_the_files_is_served(rest: Rest, name: str) -> None:
    # httpx would resolve `..` itself.
    connection = HTTPConnection(urlsplit(rest.url).netloc)
    connection.request("GET", f"/console/static/{name}")
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())["code"]) == (404, "route_not_found")
    connection.close()


def test_files_load_only_files_that_exist() -> None:
    """A wrong import would leave the page empty."""
    loaded = 0
    for file in STATIC.rglob("*.js"):
        for name in re.findall(r'(?:from|import)\s*\(?\s*"(.+?)"', file.read_text()):
            assert (file.parent / name).is_file(), f"{file.name} imports {name}"
            loaded += 1
    assert loaded > 20
    for name in re.findall(r'"\{root\}/console/static/(.+?)"', (STATIC / "index.html").read_text()):
        assert (STATIC / name).is_file()


def test_signing_in_sets_a_cookie_that_scripts_cannot_read(rest: Rest) -> None:
    response = sign_in(rest)
    assert response.status_code == 200
    assert response.json()["tenant"] == "acme"
    assert response.headers["cache-control"] == "no-store"
    cookie = cookie_of(response)
    assert cookie.value == rest.keys["acme"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "strict"
    assert cookie["path"] == "/"
    assert not cookie["domain"]
    assert not cookie["max-age"]
    assert not cookie["expires"]
    assert rest.keys["acme"] not in response.text


@pytest.mark.parametrize(("scheme", "is_secure"), [("https", True), ("http", False)])
def test_the_cookie_is_secure_under_tls(rest: Rest, scheme: str, *, is_secure: bool) -> None:
    cookie = cookie_of(sign_in(rest, **{"X-Forwarded-Proto": scheme}))
    assert bool(cookie["secure"]) is is_secure


def test_a_wrong_key_sets_no_cookie(rest: Rest) -> None:
    wrong = {"Authorization": "Bearer pp_0123456789ab_wrong"}
    response = rest.call("POST", "/console/session", headers=wrong)
    check_problem(response, 401, "invalid_key")
    assert "set-cookie" not in response.headers


def test_signing_out_deletes_the_cookie(rest: Rest) -> None:
    cookie = cookie_of(rest.call("DELETE", "/console/session"))
    assert cookie.key == "polyprefix_key"
    assert cookie.value == ""
    assert cookie["max-age"] == "0"


def test_the_session_describes_the_key_of_the_cookie(rest: Rest) -> None:
    own = {"Sec-Fetch-Site": "same-origin"}
    session = call_with_cookie(rest, "GET", "/console/session", own)
    assert session.json() == {
        "tenant": "acme",
        "role": "admin",
        "key_id": rest.keys["acme"].split("_")[1],
        "expires_at": None,
    }
    assert session.headers["cache-control"] == "no-store"
    assert rest.call("GET", "/v1/me", "acme").json() == session.json()
    operator = rest.call("GET", "/v1/me", "operator").json()
    assert (operator["tenant"], operator["role"]) == (None, "operator")


@pytest.mark.parametrize("cookie", [{}, {"Cookie": "polyprefix_key=pp_0123456789ab_wrong"}])
def test_a_session_without_a_valid_key_is_null(rest: Rest, cookie: dict[str, str]) -> None:
    response = rest.call("GET", "/console/session", headers=cookie)
    assert (response.status_code, response.json()) == (200, None)


PREFIXES: Final = "/v1/tenants/acme/prefixes/mood"
RULES: Final = f"{PREFIXES}/aliases/live/rules"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "{own}"},
        {"Origin": "{own}"},
    ],
    ids=["site", "both", "origin"],
)
def test_the_cookie_counts_for_pages_of_this_server(rest: Rest, headers: dict[str, str]) -> None:
    headers = {name: value.format(own=rest.url) for name, value in headers.items()}
    assert call_with_cookie(rest, "GET", PREFIXES, headers).status_code == 200
    answer = call_with_cookie(rest, "DELETE", RULES, headers)
    check_problem(answer, 404, "rules_not_found")


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-site", "Origin": OTHER},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "same-site", "Origin": "{own}"},
        {"Origin": OTHER},
        {"Origin": "null"},
        {"Origin": "http://[::1"},
        {"Sec-Fetch-Site": "none"},
        {},
    ],
    ids=["port", "site", "forged", "old browser", "opaque", "malformed", "typed", "no header"],
)
def test_the_cookie_changes_nothing_for_other_pages(rest: Rest, headers: dict[str, str]) -> None:
    headers = {name: value.format(own=rest.url) for name, value in headers.items()}
    check_problem(call_with_cookie(rest, "DELETE", RULES, headers), 401, "key_required")
    body = {"model": "acme/mood", "input": "good"}
    answer = call_with_cookie(rest, "POST", "/v1/classify", headers, json=body)
    check_problem(answer, 401, "key_required")


@pytest.mark.parametrize(("site", "status"), [("none", 200), ("same-site", 401)])
def test_a_typed_url_is_read_with_the_cookie(rest: Rest, site: str, status: int) -> None:
    answer = call_with_cookie(rest, "GET", PREFIXES, {"Sec-Fetch-Site": site})
    assert answer.status_code == status


def test_the_header_takes_precedence_over_the_cookie(rest: Rest) -> None:
    headers = {"Authorization": f"Bearer {rest.keys['zoo']}", "Sec-Fetch-Site": "same-origin"}
    assert call_with_cookie(rest, "GET", "/v1/me", headers).json()["tenant"] == "zoo"


def test_browsers_are_redirected_from_the_root_and_programs_are_not(rest: Rest) -> None:
    browser = rest.call("GET", "/", headers={"Accept": "text/html,application/xhtml+xml"})
    assert (browser.status_code, browser.headers["location"]) == (303, "/console")
    program = rest.call("GET", "/")
    assert program.json()["console"] == "/console"
    assert browser.headers["vary"] == program.headers["vary"] == "Accept"
