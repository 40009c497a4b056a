"""Files that change on disk after they were chosen."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install -e '.[dev]'")

from playwright.sync_api import expect

from tests.console.site import Site
from tests.console.test_trainings import TRAININGS

if TYPE_CHECKING:
    from tests.console.browser import Tab

FIRST: Final = "text,label\nfree prize,spam\nno label,\n"
CORRECTED: Final = "text,label\nfree prize,spam\nsee you,ham\n"
REJECTED: Final[dict[str, Any]] = {
    "title": "The training would fail",
    "detail": "The data has 1 problem(s)",
    "status": 422,
    "errors": [{"field": "train, line 3", "message": "expected a label, found none"}],
}
TOO_LARGE_FOR_MEMORY: Final = 64 * 1024 * 1024 + 1


def change(path: Path, text: str) -> None:
    """Write a file as an editor does. Browsers compare whole seconds of its time."""
    path.write_text(text)
    later = time.time() + 10
    os.utime(path, (later, later))


def choose(tab: "Tab", path: Path) -> None:
    """Choose a file in the dialog of the browser."""
    with tab.page.expect_file_chooser() as chooser:
        tab.page.get_by_label("Labeled file").click()
    assert tab.page.get_by_label("Labeled file").input_value() == ""
    chooser.value.set_files(path)


def test_a_corrected_file_is_chosen_again_and_sent(tab: "Tab", site: Site, tmp_path: Path) -> None:
    path = tmp_path / "mails.csv"
    path.write_text(FIRST)
    checks = tab.answer(f"{TRAININGS}?dry_run=true", {"error": REJECTED})
    tab.sign_in(site.keys["upload"])
    tab.open("/trainings")
    choose(tab, path)
    tab.page.get_by_role("region", name="Invalid rows").wait_for()
    change(path, CORRECTED)
    tab.click("Check again")
    expect(tab.page.get_by_role("alert")).to_contain_text("mails.csv has changed")
    expect(tab.page.get_by_role("alert")).to_contain_text("Choose or drop the file again.")
    assert len(checks) == 1
    choose(tab, path)
    tab.page.get_by_role("region", name="Invalid rows").wait_for()
    assert [one in (checks[-1].post_data or "") for one in ("no label", "see you")] == [False, True]


def test_a_deleted_file_is_sent_from_memory(tab: "Tab", site: Site, tmp_path: Path) -> None:
    path = tmp_path / "mails.csv"
    path.write_text(FIRST)
    checks = tab.answer(f"{TRAININGS}?dry_run=true", {"error": REJECTED})
    tab.sign_in(site.keys["upload"])
    tab.open("/trainings")
    choose(tab, path)
    tab.page.get_by_role("region", name="Invalid rows").wait_for()
    path.unlink()
    tab.click("Check again")
    tab.page.get_by_role("region", name="Invalid rows").wait_for()
    assert len(checks) == 2
    assert "free prize" in (checks[-1].post_data or "")


def test_a_large_file_that_changed_is_reported(tab: "Tab", site: Site, tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    path.write_text(FIRST)
    os.truncate(path, TOO_LARGE_FOR_MEMORY)
    tab.answer(f"{TRAININGS}?dry_run=true", {"error": {"title": "T", "detail": "D", "errors": []}})
    tab.sign_in(site.keys["upload"])
    tab.open("/trainings")
    choose(tab, path)
    tab.page.get_by_role("alert").get_by_text("T", exact=True).wait_for()
    change(path, CORRECTED)
    tab.click("Check again")
    expect(tab.page.get_by_role("alert")).to_contain_text("large.csv has changed")
