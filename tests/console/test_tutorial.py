"""The tour of docs/tutorial-console.md: from a labeled file to an answer in the playground.

With CONSOLE_SCREENSHOTS set to a folder, the test writes the pictures of that page into it.
"""

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.console.site import Site
from tests.snippets import ROOT, URL, examples_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.console.browser import Tab

PAGE: Final = ROOT / "docs" / "tutorial-console.md"
ROWS: Final = ROOT / "examples" / "data" / "spam" / "train.jsonl"
TEXT: Final = (
    "URGENT! You have won a prize of 1000 pounds. Text CLAIM to 81010 now, 150p per message"
)
NUM_ROWS: Final = 240
HAS_CURVE: Final = """() => {
    const line = document.querySelectorAll(".line-0")[1];
    return line !== undefined && line.getAttribute("points").split(" ").length >= 4;
}"""
TRAINING_MS: Final = 400_000
"""A worker imports torch at the lowest priority, and trains on the cores that others leave."""
PICTURES: Final = os.environ.get("CONSOLE_SCREENSHOTS")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Labeled rows as CSV, with one row that occurs twice."""
    path = tmp_path / "mails.csv"
    lines = ROWS.read_text(encoding="utf-8").splitlines()[:NUM_ROWS]
    rows = [json.loads(line) for line in [*lines, lines[2]]]
    with path.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, ["text", "label"])
        writer.writeheader()
        writer.writerows(rows)
    return path


def picture(tab: "Tab", name: str) -> None:
    """Write a picture of the screen for the documentation."""
    if PICTURES is not None:
        tab.page.mouse.move(0, 0)
        tab.page.screenshot(path=Path(PICTURES) / f"console-{name}.png")


def test_a_labeled_file_becomes_a_live_endpoint(
    site: Site, browser: "Browser", file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.console.browser import tab_of

    with tab_of(browser, site.url, height=900) as tab:
        page = tab.page
        tab.open("/sign-in")
        picture(tab, "sign-in")
        tab.sign_in(site.keys["admin"])
        tab.click("Training")
        page.get_by_role("heading", name="Trainings", level=1).wait_for()
        tab.wait()
        started = time.monotonic()

        page.get_by_label("Labeled file").set_input_files(file)
        page.get_by_text("Rows valid").wait_for(timeout=TRAINING_MS)
        checked = time.monotonic()
        text = tab.text()
        assert "repeat an earlier one" in text
        assert f"Line {NUM_ROWS + 2}: " in text
        picture(tab, "rows")

        page.get_by_text("Settings", exact=True).click()
        page.get_by_label("Training length").select_option("50")
        tab.click("Train")
        page.wait_for_function(HAS_CURVE, timeout=TRAINING_MS)
        picture(tab, "curve")
        page.get_by_text("live now").wait_for(timeout=TRAINING_MS)
        page.get_by_role("region", name="Figures", exact=True).wait_for()
        trained = time.monotonic()
        assert "There was no live version." in tab.text()
        picture(tab, "result")

        tab.click("Open in the playground")
        page.get_by_label("text", exact=True).fill(TEXT)
        tab.click("Run")
        answer = page.get_by_role("region", name="Result of acme/mails").locator(".figure")
        answer.wait_for()
        answered = time.monotonic()
        shown = answer.inner_text()
        picture(tab, "playground")
        tab.check()
    with capsys.disabled():
        sys.stdout.write(
            f"\ntour: rows checked after {checked - started:.0f} s, version live after "
            f"{trained - started:.0f} s, answer after {answered - started:.0f} s\n"
        )
    *_, request = examples_of(PAGE)
    result = json.loads(run(request.source, site))["results"][0]
    assert result["model"] == "acme/mails@1"
    with site.client("infer") as client:
        answered_again = client.post("/v1/classify", json={"model": "acme/mails", "input": TEXT})
    assert answered_again.json()["results"][0]["label"] == shown


def run(command: str, site: Site) -> str:
    """Run a command of the page, with a key of the tenant."""
    environment = {**os.environ, "POLYPREFIX_KEY": site.keys["infer"]}
    done = subprocess.run(
        ["bash", "-euc", command.replace(URL, site.url)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
