"""The site in a real browser: it draws without errors, and asks no other host for anything."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("playwright", reason="playwright is not installed")

from tests.console.browser import CHROMIUM, Scheme, chromium, serious_violations, tab_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PAGES = ("index.html", "tutorial.html", "how-it-works.html", "reference/http/tasks.html",
         "reference/python.html", "operating.html")  # fmt: skip

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed: apt-get install chromium"
)


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files, and writes no log."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def url(site: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=site))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with chromium() as browser:
        yield browser


def background(page: "Page") -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


@pytest.mark.parametrize("path", PAGES)
def test_a_page_draws_without_errors_and_foreign_requests(
    browser: "Browser", url: str, path: str
) -> None:
    with tab_of(browser, url) as tab:
        tab.page.goto(f"{url}/{path}", wait_until="load")
        assert tab.page.locator("h1").first.inner_text()
        broken = "[...document.images].filter(one => !one.naturalWidth).map(one => one.src)"
        assert tab.page.evaluate(broken) == []
        tab.check()


def test_the_colors_follow_the_scheme_of_the_reader(browser: "Browser", url: str) -> None:
    schemes: tuple[Scheme, ...] = ("light", "dark")
    found = []
    for scheme in schemes:
        with tab_of(browser, url, scheme=scheme) as tab:
            tab.page.goto(f"{url}/how-it-works.html", wait_until="load")
            found.append(background(tab.page))
            tab.check()
    assert len(set(found)) == 2


def test_the_search_finds_a_setting(browser: "Browser", url: str) -> None:
    with tab_of(browser, url) as tab:
        tab.page.goto(f"{url}/index.html", wait_until="load")
        tab.page.get_by_placeholder("Search").first.fill("POLYPREFIX_RESIDENT_MIB")
        results = tab.page.locator(".md-search-result__item")
        results.first.wait_for()
        assert "RESIDENT_MIB" in results.first.inner_text()
        tab.check()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_has_no_serious_accessibility_fault(
    browser: "Browser", url: str, scheme: Scheme
) -> None:
    with tab_of(browser, url, scheme=scheme) as tab:
        tab.page.goto(f"{url}/tutorial.html", wait_until="load")
        assert serious_violations(tab.page) == []


def test_a_narrow_screen_needs_no_sideways_scrolling(browser: "Browser", url: str) -> None:
    with tab_of(browser, url, width=400) as tab:
        tab.page.goto(f"{url}/how-it-works.html", wait_until="load")
        width = tab.page.evaluate("document.documentElement.scrollWidth")
        assert width <= 400
