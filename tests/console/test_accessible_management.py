"""Accessibility of the screens of trainings, review and management: axe-core, and 400 pixels."""

from typing import TYPE_CHECKING, Literal

import pytest

from tests.console.new_tenant import Tenant, new_tenant
from tests.console.site import Site

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SCREENS = (
    "/trainings/full",
    "/trainings/full?start=labels",
    "/review/full",
    "/review/full/spam",
    "/tenants",
    "/tenants/full",
    "/keys",
    "/keys/full",
    "/audit",
    "/usage",
)


@pytest.fixture(scope="module")
def full(site: Site) -> Tenant:
    """A tenant with something on each screen."""
    tenant = new_tenant(site, "full")
    tenant.publish("spam")
    tenant.call("PUT", "/feedback", json={"is_enabled": True})
    tenant.classify("spam", "Call me about the prize", "See you at lunch?")
    made = tenant.call("POST", "/keys", json={"role": "infer", "label": "website"})
    tenant.call("PATCH", f"/keys/{made['id']}/limits", json={"requests_per_second": 5})
    tenant.call("DELETE", f"/keys/{made['id']}")
    return tenant


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(
    site: Site, browser: "Browser", full: Tenant, scheme: Literal["light", "dark"]
) -> None:
    from tests.console.browser import serious_violations, tab_of

    with tab_of(browser, site.url, scheme=scheme) as tab:
        tab.sign_in(site.keys["operator"])
        for screen in SCREENS:
            tab.open(screen)
            assert serious_violations(tab.page) == [], screen
        tab.check()


def test_no_screen_is_wider_than_400_pixels(site: Site, browser: "Browser", full: Tenant) -> None:
    from tests.console.browser import tab_of

    with tab_of(browser, site.url, width=400) as tab:
        tab.sign_in(site.keys["operator"])
        for screen in SCREENS:
            tab.open(screen)
            width = tab.page.evaluate("document.documentElement.scrollWidth")
            assert width <= 400, screen


def test_dialogs_work_with_the_keyboard_and_return_the_focus(
    site: Site, browser: "Browser", full: Tenant
) -> None:
    from tests.console.browser import serious_violations, tab_of

    with tab_of(browser, site.url) as tab:
        tab.sign_in(site.keys["operator"])
        tab.open("/tenants/full")
        opener = tab.page.get_by_role("button", name="Change the limits")
        opener.focus()
        tab.page.keyboard.press("Enter")
        tab.page.get_by_role("dialog").wait_for()
        assert serious_violations(tab.page) == []
        tab.page.keyboard.press("Escape")
        tab.page.get_by_role("dialog").wait_for(state="detached")
        assert opener.evaluate("(element) => element === document.activeElement")
        tab.check()
