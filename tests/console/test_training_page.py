"""The page of one training: how long it waits, its result and its promotion, and why it failed."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install -e '.[dev]'")

from playwright.sync_api import Route, expect

from tests.console.browser import serious_violations
from tests.console.site import Site
from tests.console.test_trainings import (
    INVALID_ROWS,
    REPORT,
    RESULT,
    STATUS,
    TRAINING,
    TRAININGS,
    stream,
)

if TYPE_CHECKING:
    from tests.console.browser import Tab

TASKS: Final = "**/v1/tenants/acme/prefixes"
DONE: Final[dict[str, Any]] = {
    **STATUS,
    "state": "succeeded",
    "ended_at": "2026-11-01T10:05:00Z",
    "result": {**RESULT, "new": 1},
}


def answer_tasks(tab: "Tab", *live: int) -> None:
    """Answer as if live pointed to these versions, one after another; the last one stays."""
    targets = list(live)

    def take(route: Route) -> None:
        target = targets[0] if len(targets) == 1 else targets.pop(0)
        task = {"tenant": "acme", "task": "mails", "versions": [1, 2], "aliases": {"live": target}}
        route.fulfill(json={"prefixes": [task]})

    tab.page.route(TASKS, take)


def open_training(tab: "Tab", site: Site, training: dict[str, Any]) -> None:
    tab.answer(TRAINING, training)
    stream(tab, ("state", training))
    tab.answer(f"{TRAINING}/report", REPORT)
    tab.sign_in(site.keys["upload"])
    tab.open("/trainings/acme/t1")


def test_a_finished_training_shows_its_figures_and_can_be_promoted(tab: "Tab", site: Site) -> None:
    answer_tasks(tab, 1)
    moved = tab.answer("**/prefixes/mails/aliases/live", {"name": "live", "version": 2})
    open_training(tab, site, DONE)
    matrix = tab.page.get_by_role("region", name="Confusion matrix")
    matrix.wait_for()
    assert matrix.locator("tbody tr").first.inner_text().split("\t") == ["ham", "8", "2"]
    expect(tab.page.get_by_role("heading", level=1)).to_have_text("Training of acme/mails")
    result = tab.page.get_by_role("region", name="Result")
    expect(result).to_contain_text("published, not promoted")
    expect(result).to_contain_text("The alias live points to version 1.")
    expect(result).to_contain_text("accuracy: 1.000 (version 1: 0.900) on 20 rows.")
    playground = result.get_by_role("link", name="Open in the playground")
    expect(playground).to_have_attribute("href", "/console/playground?model=acme%2Fmails%402")
    tab.click("Promote version 2")
    tab.page.unroute(TASKS)
    answer_tasks(tab, 2)
    tab.page.get_by_role("dialog").get_by_role("button", name="Promote version 2").click()
    tab.page.get_by_text("live points to version 2.").wait_for()
    assert [(one.post_data_json, one.headers["if-match"]) for one in moved] == [
        ({"version": 2}, '"1"')
    ]
    expect(result).to_contain_text("live now")
    expect(result).not_to_contain_text("not promoted")
    expect(tab.page.get_by_role("button", name="Promote version 2")).to_have_count(0)
    expect(playground).to_have_attribute("href", "/console/playground?model=acme%2Fmails")
    expect(playground).to_be_focused()
    assert serious_violations(tab.page) == []


def test_a_version_that_was_rolled_back_is_no_longer_live(tab: "Tab", site: Site) -> None:
    answer_tasks(tab, 1)
    open_training(tab, site, {**DONE, "result": {**RESULT, "is_promoted": True}})
    result = tab.page.get_by_role("region", name="Result")
    expect(result).to_contain_text("no longer live")
    expect(result.get_by_role("button", name="Promote version 2")).to_be_visible()


def test_the_list_of_trainings_shows_which_version_is_live_now(tab: "Tab", site: Site) -> None:
    answer_tasks(tab, 2)
    promoted = {**DONE, "id": "t0", "result": {**RESULT, "version": 1, "is_promoted": True}}
    tab.answer(f"{TRAININGS}?limit=100", {"trainings": [DONE, promoted], "next": None})
    tab.sign_in(site.keys["upload"])
    tab.open("/trainings")
    rows = tab.page.get_by_role("region", name="Trainings, latest first").locator("tbody tr")
    versions = [row.split("\t")[-1].strip() for row in rows.all_inner_texts()]
    assert versions == ["@2 live", "@1"]


@pytest.mark.parametrize(
    ("state", "seconds", "message", "time"),
    [
        ("running", 2, "This takes a few seconds.", "Running for"),
        ("running", 65, "still starting, because the machine is busy", "Running for 1 min"),
        ("queued", 30, "still queued: other trainings run first", "Waiting for 3"),
    ],
)
def test_a_slow_start_says_that_the_machine_is_busy(
    tab: "Tab", site: Site, state: str, seconds: int, message: str, time: str
) -> None:
    since = (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()
    answer_tasks(tab, 1)
    waiting = {**STATUS, "state": state, "created_at": since, "started_at": since}
    open_training(tab, site, waiting)
    card = tab.page.get_by_role("region", name="State")
    expect(card).to_contain_text(message)
    expect(card).to_contain_text(time)
    shown = card.get_by_text(time).inner_text()
    expect(card.get_by_text(time)).not_to_have_text(shown)


def test_a_failed_training_lists_the_rows_and_links_to_no_missing_task(
    tab: "Tab", site: Site
) -> None:
    tab.answer(TASKS, {"prefixes": []})
    failed = {**STATUS, "state": "failed", "data_summary": [], "warnings": []}
    open_training(tab, site, {**failed, "error": {**INVALID_ROWS, "title": "The training failed"}})
    assert tab.page.get_by_role("alert").inner_text().startswith("The training failed")
    expect(tab.page.get_by_role("region", name="Fields")).to_have_count(0)
    rows = tab.page.get_by_role("region", name="Invalid rows").locator("tbody tr")
    assert [row.split("\t")[0] for row in rows.all_inner_texts()] == [
        f"train, line {line}" for line in (4, 12, 52)
    ]
    assert "not read yet" not in tab.text()
    expect(tab.page.get_by_role("link", name="acme/mails")).to_have_count(0)
    tab.click("Train again")
    expect(tab.page.get_by_label("Task", exact=True)).to_have_value("mails")
