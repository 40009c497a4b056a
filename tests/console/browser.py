"""A headless browser for tests, which notes each error and each request to another host."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Route, sync_playwright

CHROMIUM: Final = shutil.which("chromium")
_ARGUMENTS: Final = (
    "--no-sandbox",  # chromium as root needs it
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)
_TIMEOUT_MS: Final = 15_000
"""Long enough for a busy machine. A wait ends as soon as its condition holds."""

Scheme = Literal["light", "dark"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser of the system; playwright's own need not be installed."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*_ARGUMENTS])
        yield browser
        browser.close()


@dataclass
class Tab:
    """A tab of a browser without cookies, at a server.

    `errors` has what a user would find in the browser's console. `foreign` has the requests to
    other hosts, which are not let through.
    """

    url: str
    page: Page
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        """Open a path of the console and wait until its screen is drawn."""
        self.page.goto(f"{self.url}/console{path}")
        self.wait()

    def wait(self) -> None:
        """Wait until the screen of the URL is drawn."""
        self.page.wait_for_selector("main:not([aria-busy]) .screen")

    def sign_in(self, key: str) -> None:
        """Sign in as a user does, and land on the overview."""
        self.open("/sign-in")
        self.page.get_by_label("API key").fill(key)
        self.page.locator("main").get_by_role("button", name="Sign in").click()
        self.page.get_by_role("button", name="Sign out").wait_for()
        self.page.wait_for_url("**/console")
        self.wait()

    def click(self, name: str) -> None:
        """Click the button or the link with this name."""
        button = self.page.get_by_role("button", name=name, exact=True)
        self.page.get_by_role("link", name=name, exact=True).or_(button).first.click()

    def answer(
        self, pattern: str, body: Any, *, status: int = 200, method: str | None = None
    ) -> list[Request]:
        """Answer requests to a URL in place of the server, and collect them."""
        seen: list[Request] = []

        def take(route: Route) -> None:
            if method not in {None, route.request.method}:
                route.fallback()
                return
            seen.append(route.request)
            route.fulfill(status=status, json=body)

        self.page.route(pattern, take)
        return seen

    def text(self) -> str:
        """Return the text of the screen."""
        return self.page.locator("main").inner_text()

    def expect_errors(self, *parts: str) -> None:
        """Check that these errors have occurred, and forget them."""
        assert len(self.errors) == len(parts), self.errors
        for part, error in zip(parts, self.errors, strict=True):
            assert part in error
        self.errors.clear()

    def expect_some_errors(self, part: str) -> None:
        """Check that at least one error has occurred, and only such with this part; forget them.

        Requests that a screen sends at once may fail one by one, or the first one ends them all.
        """
        assert self.errors
        assert all(part in error for error in self.errors), self.errors
        self.errors.clear()

    def check(self) -> None:
        """Check that nothing went wrong that a user may not see."""
        assert self.errors == []
        assert self.foreign == []


@contextmanager
def tab_of(
    browser: Browser, url: str, *, width: int = 1280, height: int = 800, scheme: Scheme = "light"
) -> Iterator[Tab]:
    """Open a tab of a new profile."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        locale="en-US",
        color_scheme=scheme,
        reduced_motion="reduce",
        permissions=["clipboard-read", "clipboard-write"],
    )
    page = context.new_page()
    page.set_default_timeout(_TIMEOUT_MS)
    tab = Tab(url, page)

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            tab.errors.append(message.text)

    def reject(route: Route) -> None:
        tab.foreign.append(route.request.url)
        route.abort()

    context.route(lambda address: not address.startswith(url), reject)
    page.on("console", note)
    page.on("pageerror", lambda error: tab.errors.append(str(error)))
    try:
        yield tab
    finally:
        context.close()


def serious_violations(page: Page) -> list[str]:
    """Return the serious and critical violations that axe-core finds on a page."""
    from axe_playwright_python.sync_playwright import Axe

    found: dict[str, Any] = Axe().run(page).response
    return [
        f"{violation['id']}: {violation['help']}: {node['html']}"
        for violation in found["violations"]
        if violation["impact"] in {"serious", "critical"}
        for node in violation["nodes"]
    ]
