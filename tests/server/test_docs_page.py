"""/docs works in a closed network: nothing on the page is on another host."""

import re
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import pytest

from server.api.access import VISIBLE
from tests.server.rest import Rest
from tests.server.test_bad_requests import check_problem


class Links(HTMLParser):
    """Collects the addresses that a browser loads with the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in {"src", "href"}]


def test_everything_that_the_page_loads_comes_from_this_server(rest: Rest) -> None:
    page = rest.call("GET", "/docs")
    assert page.status_code == 200
    assert "//" not in page.text.replace("<!-- ", "")
    links = [link for link in Links(page.text).found if not link.startswith("data:")]
    assert {link.rpartition(".")[2] for link in links} == {"js", "css"}
    for link in links:
        assert urlsplit(urljoin(rest.url, link)).netloc == urlsplit(rest.url).netloc
        asset = rest.call("GET", link)
        assert asset.status_code == 200, link
        assert not re.search(r"jsdelivr|unpkg|cdnjs|googleapis|tiangolo", asset.text), link
        if link.endswith(".css"):
            loaded = re.findall(r"url\(\s*[\"']?(\w*:)?", asset.text)
            assert loaded
            assert set(loaded) == {"data:"}
            assert "@import" not in asset.text
        else:
            assert '"5.' in asset.text  # since 5.0, Swagger UI shows OpenAPI 3.1


def test_the_policy_forbids_loading_from_elsewhere(rest: Rest) -> None:
    page = rest.call("GET", "/docs")
    policy = dict(
        part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    for value in policy.values():
        assert set(value.split()) <= {"'none'", "'self'", "'unsafe-inline'", "data:"}
    # Swagger UI sends the document to validator.swagger.io unless told not to.
    assert '"validatorUrl": null' in page.text
    assert rest.call("GET", "/openapi.json").json()["openapi"].startswith("3.1")


def test_the_document_says_which_routes_need_no_key(rest: Rest) -> None:
    paths = rest.call("GET", "/openapi.json").json()["paths"]
    optional = {
        f"{method.upper()} {path}"
        for path, methods in paths.items()
        for method, operation in methods.items()
        if {} in operation.get("security", [{}])
    }
    without = {"GET /", "GET /livez", "GET /health", "GET /ping", "GET /readyz", "GET /metrics"}
    without |= {"GET /v2", "GET /v2/health/live", "GET /v2/health/ready"}
    named = {re.sub(r":\w+}", "}", route) for route in VISIBLE}  # as the document names them
    assert optional == named | without


def test_the_document_describes_the_errors_of_bodies_on_every_route(rest: Rest) -> None:
    paths = rest.call("GET", "/openapi.json").json()["paths"]
    operations = [operation for methods in paths.values() for operation in methods.values()]
    assert all(operation["responses"].keys() >= {"408", "415", "429"} for operation in operations)


@pytest.mark.parametrize("path", ["/redoc", "/docs/oauth2-redirect", "/docs/assets/none.js"])
def test_fastapis_own_pages_are_disabled(rest: Rest, path: str) -> None:
    check_problem(rest.call("GET", path), 404, "route_not_found")
