"""The frame of the console in a real browser: sign-in, navigation, themes, code, accessibility."""

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install -e '.[dev]'")

from playwright.sync_api import expect

from tests.console.browser import Scheme, Tab, serious_violations, tab_of
from tests.console.new_tenant import new_tenant
from tests.console.site import Site
from tests.server.hosting.processes import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PATHS: Final = (
    "",
    "/sign-in",
    "/tasks",
    "/tasks/acme/spam",
    "/tasks/examples/banking",
    "/upload",
    "/playground?model=acme/spam&model=acme/facts",
    "/no/such/screen",
)


def test_without_a_key_the_console_shows_public_tasks_alone(tab: Tab) -> None:
    tab.open("/tasks")
    assert "examples/spam" in tab.text()
    assert "acme" not in tab.text()
    expect(tab.page.get_by_role("button", name="Sign out")).to_have_count(0)


def test_a_shared_url_leads_through_signing_in_to_its_screen(tab: Tab, site: Site) -> None:
    tab.open("/upload")
    assert "needs the role upload" in tab.text()
    tab.page.locator("main").get_by_role("link", name="Sign in").click()
    tab.page.get_by_label("API key").fill(site.keys["upload"])
    tab.page.locator("main").get_by_role("button", name="Sign in").click()
    tab.page.get_by_label("Prefix file").wait_for()
    assert tab.page.url == f"{site.url}/console/upload"


def test_signing_in_never_leads_to_another_site(tab: Tab, site: Site) -> None:
    tab.open("/sign-in?next=https://evil.example/console")
    tab.page.get_by_label("API key").fill(site.keys["infer"])
    tab.page.locator("main").get_by_role("button", name="Sign in").click()
    tab.page.wait_for_url(f"{site.url}/console")


def test_a_wrong_key_is_reported(tab: Tab) -> None:
    tab.open("/sign-in")
    tab.page.get_by_label("API key").fill("pp_0123456789ab_wrong")
    tab.page.locator("main").get_by_role("button", name="Sign in").click()
    alert = tab.page.get_by_role("alert")
    expect(alert).to_contain_text(
        "The API key is unknown, revoked or expired. Check that you copied"
    )
    tab.expect_errors("401")


def test_a_session_lasts_until_signing_out_and_hides_its_key(tab: Tab, site: Site) -> None:
    tab.sign_in(site.keys["admin"])
    tab.page.reload()
    tab.wait()
    expect(tab.page.locator("header")).to_contain_text("acme admin")
    assert tab.page.evaluate("document.cookie") == ""
    assert site.keys["admin"] not in tab.page.content()
    (cookie,) = tab.page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["expires"]) == (True, "Strict", -1)
    tab.click("Sign out")
    expect(tab.page.locator("header").get_by_role("link", name="Sign in")).to_be_visible()
    assert tab.page.context.cookies() == []


def test_the_session_is_read_once_and_not_for_each_screen(tab: Tab, site: Site) -> None:
    reads: list[str] = []
    tab.page.on(
        "request",
        lambda one: reads.append(one.method) if one.url.endswith("/console/session") else None,
    )
    tab.sign_in(site.keys["infer"])
    assert reads == ["GET", "POST", "GET"]
    for name in ("Tasks", "Playground", "Overview"):
        tab.page.get_by_role("navigation").get_by_role("link", name=name).click()
        expect(tab.page.get_by_role("heading", level=1)).to_have_text(name)
        tab.wait()
    assert reads == ["GET", "POST", "GET"]
    tab.page.context.clear_cookies()
    tab.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    tab.click("Tasks")
    expect(tab.page.get_by_role("button", name="Sign out")).to_have_count(0)
    assert reads == ["GET", "POST", "GET", "GET"]


def test_a_key_that_stops_being_valid_ends_the_session(tab: Tab, site: Site) -> None:
    tab.sign_in(site.keys["admin"])
    tab.page.context.clear_cookies()
    tab.click("Keys")
    expect(tab.page.get_by_role("alert")).to_contain_text("API key required")
    expect(tab.page.get_by_role("button", name="Sign out")).to_have_count(0)
    tab.page.wait_for_load_state("networkidle")
    tab.expect_some_errors("401")  # of the keys and of their usage
    tab.page.get_by_role("alert").get_by_role("link", name="Sign in").click()
    tab.page.get_by_label("API key").fill(site.keys["admin"])
    tab.page.locator("main").get_by_role("button", name="Sign in").click()
    tab.page.wait_for_url("**/console/keys")


def test_a_revoked_key_leads_to_signing_in_and_leaves_no_old_answer(tab: Tab, site: Site) -> None:
    tenant = new_tenant(site, "fired")
    tenant.publish("spam")
    tab.sign_in(tenant.key)
    tab.open("/playground?model=fired/spam")
    tab.page.get_by_label("text", exact=True).fill("free prize")
    tab.click("Run")
    answer = tab.page.get_by_role("region", name="Result of fired/spam")
    answer.wait_for()
    (key,) = tenant.call("GET", "/keys")["keys"]
    tenant.call("DELETE", f"/keys/{key['id']}")
    tab.click("Run")
    alert = tab.page.get_by_role("alert")
    expect(alert).to_contain_text("This key no longer works")
    expect(alert).not_to_contain_text("header")
    expect(alert.get_by_role("link", name="Sign in")).to_be_visible()
    expect(tab.page.locator("header")).not_to_contain_text("fired")
    expect(answer).to_have_count(0)
    tab.expect_errors("401")
    tab.click("Tasks")  # without the key: it would make requests for public tasks fail
    expect(tab.page.get_by_role("link", name="examples/spam")).to_be_visible()


def test_the_role_of_the_key_decides_which_screens_are_offered(tab: Tab, site: Site) -> None:
    tab.sign_in(site.keys["infer"])
    tab.click("Tasks")
    expect(tab.page.get_by_role("link", name="acme/spam")).to_be_visible()
    for action in ("Train a new task", "Upload a new task"):
        expect(tab.page.get_by_role("link", name=action)).to_have_count(0)
    tab.open("/tasks/acme/spam")
    for action in ("Promote to live", "Start the canary", "Upload a version"):
        assert action not in tab.text()


def test_navigation_needs_no_mouse_and_moves_the_focus_to_the_heading(tab: Tab) -> None:
    tab.open("")
    tab.page.keyboard.press("Tab")
    expect(tab.page.get_by_role("link", name="Skip to the content")).to_be_focused()
    tab.page.get_by_role("link", name="Playground").focus()
    tab.page.keyboard.press("Enter")
    heading = tab.page.get_by_role("heading", level=1)
    expect(heading).to_have_text("Playground")
    expect(heading).to_be_focused()
    assert tab.page.title() == "Playground - polyprefix"
    tab.page.go_back()
    expect(heading).to_have_text("Overview")
    expect(tab.page.locator("nav [aria-current]")).to_have_text("Overview")


def test_the_chosen_theme_is_kept(tab: Tab) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    tab.open("/sign-in")
    light = tab.page.evaluate(background)
    tab.click("Dark theme")
    dark = tab.page.evaluate(background)
    assert dark != light
    tab.page.reload()
    tab.wait()
    assert tab.page.evaluate(background) == dark
    tab.click("Light theme")
    assert tab.page.evaluate(background) == light


def test_the_code_behind_a_screen_runs_as_it_is(tab: Tab, site: Site) -> None:
    tab.sign_in(site.keys["infer"])
    tab.open("/playground?model=acme/spam")
    tab.page.get_by_label("text", exact=True).fill('it\'s a "prize" for $HOME')
    tab.click("Run")
    tab.page.get_by_text("tokens in").wait_for()
    tab.page.get_by_text("Code behind this screen").click()
    call = tab.page.locator('section[aria-label="POST /v1/predict"]')
    call.wait_for()
    curl, python = call.locator("pre").all_inner_texts()
    paths = os.pathsep.join([str(ROOT / "client"), str(ROOT)])
    environment = {**os.environ, "POLYPREFIX_KEY": site.keys["infer"], "PYTHONPATH": paths}
    for command in (["sh", "-c", curl], [sys.executable, "-c", python]):
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert "acme/spam@1" in run.stdout, run.stderr
    assert re.fullmatch(r"acme/spam@1 (spam|ham) 0\.\d+\n", run.stdout)
    assert python.startswith("# Install the client, in a checkout of polyprefix: pip install")
    assert "export POLYPREFIX_KEY=" in python
    del environment["POLYPREFIX_KEY"]
    without = subprocess.run(
        ["sh", "-c", curl], env=environment, capture_output=True, text=True, check=False
    )
    assert without.returncode != 0
    assert without.stdout == ""
    assert "POLYPREFIX_KEY: Set it to your API key" in without.stderr
    environment["POLYPREFIX_KEY"] = site.keys["infer"]
    assert json.loads(subprocess.check_output(["sh", "-c", curl], env=environment, text=True))
    call.get_by_role("button", name="Copy curl").click()
    expect(tab.page.locator(".toasts")).to_contain_text("Copied curl.")
    assert tab.page.evaluate("navigator.clipboard.readText()") == curl


@pytest.mark.parametrize(
    "injection",
    [
        "document.body.innerHTML = '<b>x</b>'",
        "document.body.setAttribute('onclick', 'globalThis.hasRun = true')",
        "document.createElement('script').text = 'globalThis.hasRun = true'",
    ],
)
def test_the_policy_stops_markup_and_code_in_strings(tab: Tab, injection: str) -> None:
    tab.open("/sign-in")
    outcome = tab.page.evaluate(
        f"() => {{ try {{ {injection}; return 'done' }} catch (error) {{ return error.name }} }}"
    )
    assert outcome == "TypeError"
    tab.expect_errors("This document requires")


def test_the_policy_stops_inline_styles(tab: Tab) -> None:
    tab.open("/sign-in")
    tab.page.evaluate("document.body.setAttribute('style', 'display: none')")
    assert tab.page.evaluate("getComputedStyle(document.body).display") == "block"
    tab.expect_errors("Content Security Policy")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_screens_are_accessible_and_fit_a_phone(
    site: Site, browser: "Browser", scheme: Scheme
) -> None:
    with tab_of(browser, site.url, scheme=scheme) as tab:
        tab.sign_in(site.keys["admin"])
        for path in PATHS:
            tab.open(path)
            tab.page.locator("summary").evaluate_all(
                "(all) => all.forEach((one) => { one.parentElement.open = true })"
            )
            assert serious_violations(tab.page) == [], path
            tab.page.set_viewport_size({"width": 400, "height": 800})
            width = tab.page.evaluate("document.documentElement.scrollWidth")
            assert width == 400, path
            tab.page.set_viewport_size({"width": 1280, "height": 800})
        tab.check()
