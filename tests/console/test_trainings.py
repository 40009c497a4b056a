"""The screens of trainings, with answers of the server that a test chooses."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install -e '.[dev]'")

from playwright.sync_api import expect

from tests.console.browser import serious_violations
from tests.console.site import Site
from training.errors import DataProblem
from training.files.rows import Row
from training.tasks.cells import LABEL_SETTING, is_absent

if TYPE_CHECKING:
    from tests.console.browser import Tab

ROWS: Final = b"text,label\nfree prize,spam\nsee you,ham\nno label,\n"
LABELED: Final = ".drop:not(details *)"
TRAININGS: Final = "**/v1/tenants/acme/trainings"
TRAINING: Final = f"{TRAININGS}/t1"

STATUS: Final[dict[str, Any]] = {
    "id": "t1",
    "tenant": "acme",
    "task": "mails",
    "alias": "live",
    "margin": 0,
    "config": {},
    "state": "running",
    "is_cancelling": False,
    "created_at": "2026-11-01T10:00:00Z",
    "started_at": "2026-11-01T10:00:01Z",
    "ended_at": None,
    "data_summary": ["train: 100 rows of train.csv"],
    "warnings": ["train.csv: 2 row(s) repeat an earlier one, at lines 3, 4"],
    "progress": None,
    "result": None,
    "error": None,
}
CHECKED: Final[dict[str, Any]] = {
    "task_type": "sequence_classification",
    "method": "prefix",
    "parts": [],
    "data_summary": [],
    "warnings": [],
    "error": None,
}
INVALID_ROWS: Final[dict[str, Any]] = {
    "title": "The training would fail",
    "detail": "The data has 3 problem(s)",
    "status": 422,
    "code": "data_rejected",
    "errors": [
        {"field": f"train, line {line}", "message": "expected a label, found none"}
        for line in (52, 12, 4)
    ],
}
RESULT: Final = {
    "ref": "acme/mails@2",
    "version": 2,
    "is_promoted": False,
    "reason": "The improvement does not exceed the margin of 0.",
    "metric": "accuracy",
    "measured_on": "validation",
    "num_rows": 20,
    "new": 0.9,
    "live": 0.9,
    "live_version": 1,
    "warnings": [],
}
REPORT: Final[dict[str, Any]] = {
    "config": {"select_by": "accuracy"},
    "data": {"labels": ["ham", "spam"]},
    "history": [
        {"step": 10, "train_loss": 0.7, "loss": 0.6, "metrics": {"accuracy": 0.7}},
        {"step": 20, "train_loss": 0.3, "loss": 0.4, "metrics": {"accuracy": 0.9}},
    ],
    "validation": {
        "metrics": {"accuracy": 0.9},
        "per_label": [
            {"label": "ham", "precision": 1, "recall": 0.8, "f1": 0.89, "support": 10},
            {"label": "spam", "precision": 0.83, "recall": 1, "f1": 0.91, "support": 10},
        ],
        "confusion": [[0, 0, 8], [0, 1, 2], [1, 1, 10]],
    },
    "test": None,
}


def stream(tab: "Tab", *events: tuple[str, Any]) -> None:
    """Answer the stream of events. The browser would connect again at its end."""
    text = "".join(f"event: {kind}\ndata: {json.dumps(data)}\n\n" for kind, data in events)
    headers = {"Content-Type": "text/event-stream"}
    tab.page.route(f"{TRAINING}/events", lambda route: route.fulfill(body=text, headers=headers))


def drop(tab: "Tab", name: str, rows: bytes = ROWS, *, on: str = LABELED) -> None:
    """Drop a file on the form or elsewhere, as a mouse does."""
    transfer = tab.page.evaluate_handle(
        """([name, text]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([text], name));
            return transfer;
        }""",
        [name, rows.decode()],
    )
    tab.page.locator(on).dispatch_event("drop", {"dataTransfer": transfer})


def test_a_dropped_file_is_checked_and_its_labels_and_warnings_are_shown(
    tab: "Tab", site: Site
) -> None:
    warning = "train.csv: 1 row(s) repeat an earlier one, at line 3"
    labels = [{"label": "spam", "num_rows": 1}, {"label": "ham", "num_rows": 1}]
    checked = {
        "task_type": "sequence_classification",
        "method": "few_shot",
        "parts": [{"name": "train", "num_rows": 2, "labels": labels}],
        "data_summary": ["train: 2 rows of train.csv"],
        "warnings": [warning],
        "error": None,
    }
    tab.answer(f"{TRAININGS}?dry_run=true", checked)
    tab.sign_in(site.keys["upload"])
    tab.open("/trainings")
    drop(tab, "Customer Mails.csv")
    tab.page.get_by_text("Rows valid").wait_for()
    text = tab.text()
    assert tab.page.get_by_label("Task", exact=True).input_value() == "customer-mails"
    assert "a head from them without training" in text
    assert warning in text
    assert "Line 3: see you,ham" in text
    assert tab.page.locator(".bars li").count() == 2


def test_a_file_that_is_dropped_next_to_the_field_is_taken(tab: "Tab", site: Site) -> None:
    tab.answer(f"{TRAININGS}?dry_run=true", {"error": {"title": "T", "detail": "D", "errors": []}})
    tab.sign_in(site.keys["upload"])
    tab.open("/trainings")
    drop(tab, "mails.csv", on="h1")
    tab.page.get_by_text(f"mails.csv, {len(ROWS)} bytes").wait_for()
    tab.open("/tasks")
    drop(tab, "mails.csv", on="h1")  # no field: nothing happens
    assert tab.page.url.endswith("/console/tasks")


def test_the_task_is_named_after_the_file_until_somebody_names_it(tab: "Tab", site: Site) -> None:
    tab.answer(f"{TRAININGS}?dry_run=true", {"error": {"title": "T", "detail": "D", "errors": []}})
    tab.sign_in(site.keys["upload"])
    tab.open("/trainings")
    task = tab.page.get_by_label("Task", exact=True)
    for name in ("old", "new"):
        drop(tab, f"{name}.csv")
        expect(task).to_have_value(name)
    task.fill("mine")
    drop(tab, "newest.csv")
    tab.page.get_by_text("newest.csv, ").wait_for()
    tab.page.get_by_role("alert").wait_for()
    assert task.input_value() == "mine"


def test_columns_with_other_names_are_asked_for_in_the_settings(tab: "Tab", site: Site) -> None:
    problems: list[DataProblem] = []
    row = Row(Path("train.csv"), 2, {"message": "free prize", "category": "spam"})
    is_absent(row, "text", "text_column or pair_column", problems)
    is_absent(row, "label", LABEL_SETTING, problems)
    errors = [{"field": "train, line 2", "message": problem.message} for problem in problems]
    error = {"title": "The training would fail", "detail": "D", "status": 422, "errors": errors}
    checks = tab.answer(f"{TRAININGS}?dry_run=true", {"error": error})
    tab.sign_in(site.keys["upload"])
    tab.open("/trainings")
    drop(tab, "mails.csv", b"message,category\nfree prize,spam\n")
    asked = 'no column "text" and no column "label". The columns of the file are message, category.'
    tab.page.get_by_text(asked).wait_for()
    texts, labels = (tab.page.get_by_label(f"Column with the {one}") for one in ("text", "label"))
    expect(texts).to_be_focused()
    for shown in (texts, tab.page.get_by_role("alert")):
        expect(shown).to_be_in_viewport()
    assert serious_violations(tab.page) == []
    texts.select_option("message")
    labels.select_option("category")
    tab.click("Check again")
    tab.page.get_by_text(asked).wait_for()
    assert (texts.input_value(), labels.input_value()) == ("message", "category")
    assert '{"text_column":"message","label_column":"category"}' in (checks[-1].post_data or "")


def test_the_columns_return_to_the_settings_once_they_are_right(tab: "Tab", site: Site) -> None:
    message = "'mesage': is missing; name another column with text_column or pair_column, found "
    errors = [{"field": "train, line 2", "message": f"{message}only the columns message, label"}]
    error = {"title": "The training would fail", "detail": "D", "status": 422, "errors": errors}
    answers = iter([{"error": error}, CHECKED])
    tab.page.route(f"{TRAININGS}?dry_run=true", lambda route: route.fulfill(json=next(answers)))
    tab.sign_in(site.keys["upload"])
    tab.open("/trainings")
    tab.page.get_by_text("Settings", exact=True).click()
    tab.page.get_by_label("Column with the text").fill("mesage")
    drop(tab, "mails.csv", b"message,label\nfree prize,spam\n")
    tab.page.get_by_text('The file has no column "mesage".').wait_for()
    tab.page.get_by_label("Column with the text").select_option("message")
    tab.click("Check again")
    tab.page.get_by_text("Rows valid").wait_for()
    column = tab.page.locator("details").get_by_label("Column with the text")
    expect(column).to_have_value("message")


def test_invalid_rows_are_listed_with_their_lines(tab: "Tab", site: Site) -> None:
    tab.answer(f"{TRAININGS}?dry_run=true", {"error": INVALID_ROWS})
    tab.sign_in(site.keys["upload"])
    tab.open("/trainings")
    drop(tab, "mails.csv")
    invalid = tab.page.get_by_role("region", name="Invalid rows").locator("tbody tr")
    invalid.first.wait_for()
    assert [row.split("\t") for row in invalid.all_inner_texts()] == [
        ["train, line 4", "expected a label, found none", "no label,"],
        ["train, line 12", "expected a label, found none", ""],
        ["train, line 52", "expected a label, found none", ""],
    ]


def test_a_training_on_rejected_rows_is_started_only_on_purpose(tab: "Tab", site: Site) -> None:
    tab.answer(f"{TRAININGS}?dry_run=true", {"error": INVALID_ROWS})
    tab.sign_in(site.keys["upload"])
    started = tab.answer(TRAININGS, {**STATUS, "state": "queued"}, status=202, method="POST")
    tab.answer(TRAINING, {**STATUS, "state": "cancelled"})
    stream(tab, ("state", {**STATUS, "state": "cancelled"}))
    tab.open("/trainings")
    drop(tab, "mails.csv")
    tab.page.get_by_role("region", name="Invalid rows").wait_for()
    dialog = tab.page.get_by_role("dialog", name="Train although the check failed?")
    tab.click("Train")
    assert serious_violations(tab.page) == []
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    assert started == []
    tab.click("Train")
    dialog.get_by_role("button", name="Train anyway").click()
    tab.page.wait_for_url("**/console/trainings/acme/t1")
    assert len(started) == 1


def test_a_file_that_cannot_be_checked_shows_the_error_and_can_be_checked_again(
    tab: "Tab", site: Site
) -> None:
    problem = {"title": "Deadline exceeded", "detail": "Retry later.", "code": "x", "status": 504}
    seen = tab.answer(f"{TRAININGS}?dry_run=true", problem, status=504)
    tab.sign_in(site.keys["upload"])
    tab.open("/trainings")
    drop(tab, "mails.csv")
    tab.page.get_by_role("alert").wait_for()
    tab.click("Check again")
    tab.page.get_by_role("alert").wait_for()
    assert len(seen) == 2
    tab.expect_errors("504", "504")


def test_a_training_without_a_file_says_what_is_missing(tab: "Tab", site: Site) -> None:
    tab.sign_in(site.keys["upload"])
    tab.open("/trainings?task=mails")
    tab.click("Train")
    assert "No file is chosen" in tab.page.get_by_role("alert").inner_text()


def test_names_of_labels_and_settings_are_sent(tab: "Tab", site: Site) -> None:
    tab.sign_in(site.keys["upload"])
    started = tab.answer(TRAININGS, {**STATUS, "state": "queued"}, status=202, method="POST")
    tab.answer(TRAINING, STATUS)
    stream(tab, ("state", {**STATUS, "state": "cancelled"}))
    tab.open("/trainings?start=labels&task=triage")
    assert tab.page.get_by_label("Labeled file").is_hidden()
    tab.page.get_by_label("Labels", exact=True).first.fill("billing: money\nshipping\n")
    tab.page.get_by_text("Settings", exact=True).click()
    tab.page.get_by_label("Training length").select_option("50")
    tab.page.get_by_label("Other settings").fill('{"seed": 3}')
    tab.click("Train")
    tab.page.wait_for_url("**/console/trainings/acme/t1")
    (config,) = re.findall(r'name="config"\r\n\r\n(.*)\r\n', started[0].post_data or "")
    assert json.loads(config) == {
        "max_steps": 50,
        "seed": 3,
        "labels": ["billing", "shipping"],
        "label_descriptions": {"billing": "money"},
    }


def test_unlabeled_rows_are_sent_for_a_teacher(tab: "Tab", site: Site) -> None:
    tab.answer(f"{TRAININGS}?dry_run=true", CHECKED)
    tab.sign_in(site.keys["upload"])
    started = tab.answer(TRAININGS, {**STATUS, "state": "queued"}, status=202, method="POST")
    tab.answer(TRAINING, STATUS)
    stream(tab, ("state", {**STATUS, "state": "cancelled"}))
    tab.open("/trainings")
    tab.page.get_by_text("Settings", exact=True).click()
    drop(tab, "others.csv", b"text\nhello there\n", on="details .drop")
    expect(tab.page.get_by_label("Teacher")).to_have_value("full")
    tab.page.get_by_label("Training length").select_option("early")
    drop(tab, "mails.csv", on="h1")  # next to the fields: the labeled file
    tab.page.get_by_text("Rows valid").wait_for()
    tab.click("Train")
    tab.page.wait_for_url("**/console/trainings/acme/t1")
    sent = started[0].post_data or ""
    assert re.findall(r'name="(\w+)"; filename="(.*)"', sent) == [
        ("file", "mails.csv"),
        ("unlabeled", "others.csv"),
    ]
    assert '{"patience":5,"teacher":"full"}' in sent


def test_a_training_is_started_with_the_keyboard_alone(tab: "Tab", site: Site) -> None:
    started = tab.answer(TRAININGS, {**STATUS, "state": "queued"}, status=202, method="POST")
    tab.answer(TRAINING, {**STATUS, "state": "cancelled"})
    stream(tab, ("state", {**STATUS, "state": "cancelled"}))
    tab.sign_in(site.keys["upload"])
    tab.open("/trainings")
    keyboard = tab.page.keyboard
    tab.page.get_by_label("Start from").focus()
    keyboard.type("Names")
    keyboard.press("Tab")
    keyboard.type("billing\nshipping")
    keyboard.press("Tab")
    keyboard.type("triage")
    keyboard.press("Tab")  # to the settings
    keyboard.press("Tab")
    keyboard.press("Enter")
    tab.page.wait_for_url("**/console/trainings/acme/t1")
    assert '{"labels":["billing","shipping"]}' in (started[0].post_data or "")
    heading = tab.page.get_by_role("heading", level=1)
    heading.wait_for()
    tab.wait()
    assert heading.evaluate("(element) => element === document.activeElement")


def test_the_learning_curve_grows_while_the_training_runs(tab: "Tab", site: Site) -> None:
    progress = {"step": 10, "total_steps": 50, "loss": 0.7, "metric": "accuracy", "best": None}
    first, second = ({"epoch": 1, **evaluation} for evaluation in REPORT["history"])
    tab.answer(TRAINING, STATUS)
    stream(
        tab,
        ("state", STATUS),
        ("data_summary", {"data_summary": ["train: 80 rows"]}),
        ("progress", {**progress, "latest": None}),
        ("evaluation", {**progress, "latest": first}),
        ("evaluation", {**progress, "step": 20, "latest": second}),
    )
    tab.sign_in(site.keys["upload"])
    tab.open("/trainings/acme/t1")
    tab.page.get_by_role("img", name=re.compile("accuracy of the validation rows")).wait_for()
    tab.page.get_by_text("Step 20 of at most 50").wait_for()
    assert tab.page.get_by_role("button", name="Cancel the training").is_enabled()
    assert "train: 80 rows" in tab.text()
    assert "Latest training: 0.300, validation: 0.400" in tab.page.get_by_role(
        "img", name=re.compile("Loss at each evaluation")
    ).get_attribute("aria-label")  # type: ignore[operator]


def test_the_code_of_an_upload_is_shown(tab: "Tab", site: Site) -> None:
    tab.answer(f"{TRAININGS}?dry_run=true", CHECKED)
    tab.sign_in(site.keys["upload"])
    tab.open("/trainings")
    drop(tab, "mails.csv")
    tab.page.get_by_text("Rows valid").wait_for()
    tab.page.get_by_text("Code behind this screen").click()
    tab.page.get_by_role("button", name="Copy curl").first.wait_for()
    code = tab.page.locator(".code-panel").inner_text()
    assert "-F 'file=@mails.csv'" in code
    assert 'client.trainings.check("acme/mails", "mails.csv"' in code
