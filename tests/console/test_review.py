"""The screen on which answers are reviewed, used with the keyboard alone."""

from typing import TYPE_CHECKING, Any

import pytest

from tests.console.new_tenant import Tenant, new_tenant
from tests.console.site import Site

if TYPE_CHECKING:
    from tests.console.browser import Tab

TEXTS = (
    "Call me about the prize tonight",
    "See you at lunch with my sister?",
    "Your package waits, pay 2 pounds to the driver",
)


@pytest.fixture(scope="module")
def reviewers(site: Site) -> Tenant:
    """A tenant that records the answers to three texts."""
    tenant = new_tenant(site, "reviewers")
    tenant.publish("spam")
    tenant.call("PUT", "/feedback", json={"is_enabled": True})
    return tenant


@pytest.fixture
def labeling(reviewers: Tenant, tab: "Tab") -> "Tab":
    """The screen with three answers that nobody has labeled."""
    reviewers.call("DELETE", "/feedback")
    reviewers.classify("spam", *TEXTS)
    tab.sign_in(reviewers.key)
    tab.open("/review/reviewers/spam")
    return tab


def left(tenant: Tenant) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = tenant.call("GET", "/prefixes/spam/review")["items"]
    return items


def test_digits_label_and_the_rest_is_skipped_and_undone(
    labeling: "Tab", reviewers: Tenant
) -> None:
    page, status = labeling.page, labeling.page.get_by_role("status").filter(has_text="labeled")
    first = page.locator("blockquote").inner_text()
    page.keyboard.press("2")
    page.get_by_text("1 labeled, 0 skipped, 2 left.").wait_for()
    assert page.locator("blockquote").inner_text() != first
    page.keyboard.press("s")
    assert status.inner_text() == "1 labeled, 1 skipped, 1 left."
    page.keyboard.press("u")
    page.get_by_text("1 labeled, 0 skipped, 2 left.").wait_for()
    page.keyboard.press("u")
    page.get_by_text("0 labeled, 0 skipped, 3 left.").wait_for()
    assert page.locator("blockquote").inner_text() == first
    assert reviewers.call("GET", "/feedback")["num_with_feedback"] == 0
    page.keyboard.press("1")
    page.get_by_text("1 labeled, 0 skipped, 2 left.").wait_for()
    state = reviewers.call("GET", "/feedback")
    assert state["num_with_feedback"] == 1
    assert first not in [item["input"]["text"] for item in left(reviewers)]
    for number in (2, 3):
        page.keyboard.press("1")
        page.get_by_text(f"{number} labeled, 0 skipped, {3 - number} left.").wait_for()
    page.get_by_text("Done: no answer is left.").wait_for()
    assert left(reviewers) == []


def test_undo_restores_the_feedback_that_a_label_replaced(
    labeling: "Tab", reviewers: Tenant
) -> None:
    item = left(reviewers)[0]
    wrong = {"ham": "spam", "spam": "ham"}[item["answer"]["label"]]
    given = {"request_id": item["request_id"], "index": item["index"], "label": wrong}
    reviewers.send("POST", "/v1/feedback", json=given).raise_for_status()
    labeling.page.reload()
    labeling.wait()
    labeling.page.keyboard.press("1")
    labeling.page.get_by_text("1 labeled, 0 skipped, 2 left.").wait_for()
    labeling.page.keyboard.press("u")
    labeling.page.get_by_text("0 labeled, 0 skipped, 3 left.").wait_for()
    (found,) = [item for item in left(reviewers) if item["reason"] == "contradicted"]
    assert found["feedback"] == {"label": wrong}


def test_shortcuts_do_nothing_outside_of_the_answer(labeling: "Tab", reviewers: Tenant) -> None:
    labeling.page.get_by_role("link", name="Other tasks").focus()
    labeling.page.keyboard.press("1")
    labeling.page.keyboard.press("s")
    assert "0 labeled, 0 skipped, 3 left." in labeling.text()
    assert reviewers.call("GET", "/feedback")["num_with_feedback"] == 0


def test_an_answer_that_cannot_be_saved_stays(labeling: "Tab") -> None:
    problem = {"title": "Store unavailable", "detail": "It failed.", "code": "x", "status": 503}
    labeling.answer("**/v1/feedback", problem, status=503)
    labeling.page.keyboard.press("1")
    labeling.page.get_by_role("alert").wait_for()
    assert "0 labeled, 0 skipped, 3 left." in labeling.text()
    labeling.expect_errors("503")


def test_the_labels_lead_to_a_training(labeling: "Tab") -> None:
    labeling.click("Train with the feedback")
    labeling.wait()
    page = labeling.page
    assert page.get_by_label("Start from").input_value() == "feedback"
    assert page.get_by_label("Task", exact=True).input_value() == "spam"
    assert page.get_by_label("Labeled file").is_hidden()


def test_recording_is_stopped_and_started(tab: "Tab", site: Site) -> None:
    tenant = new_tenant(site, "recorders")
    tab.sign_in(tenant.key)
    tab.open("/review")
    for button, is_enabled in {"Record answers": True, "Stop recording": False}.items():
        tab.click(button)
        tab.page.get_by_role("dialog").get_by_role("button", name=button).click()
        tab.page.get_by_role("dialog").wait_for(state="detached")
        assert tenant.call("GET", "/feedback")["is_enabled"] is is_enabled
    tab.open("/review/recorders/none")
    assert "Nothing to review" in tab.text() or "not found" in tab.text().lower()
    tab.errors.clear()


ITEM: dict[str, Any] = {
    "request_id": "r1",
    "index": 0,
    "model": "acme/spam@1",
    "answered_at": "2026-11-01T10:00:00Z",
    "reason": "low_margin",
    "other_model": None,
    "input": {"text": "the 🐢 was lost in Łódź"},
    "scores": [],
    "margin": 0.02,
    "feedback": None,
}


@pytest.mark.parametrize(
    ("answer", "fields", "keys", "sent"),
    [
        pytest.param({"labels": ["ham"]}, {}, "2d", {"labels": ["ham", "spam"]}, id="several"),
        pytest.param(
            {"entities": [{"start": 4, "end": 5, "label": "animal"}]},
            {},
            "1",
            {"entities": [{"start": 4, "end": 5, "label": "animal"}]},
            id="entities",
        ),
        pytest.param(
            {"answer": {"start": 4, "end": 5}},
            {"input": {"question": "what?", "context": "the 🐢 was lost"}},
            "2",
            {"answer": {"start": 0, "end": 0}},
            id="no-answer",
        ),
        pytest.param(
            {"choice": 0},
            {"input": {"premise": "it was late", "choices": ["a", "b"]}},
            "2",
            {"choice": 1},
            id="choice",
        ),
    ],
)
def test_each_task_type_has_its_right_answers(
    tab: "Tab",
    site: Site,
    answer: dict[str, Any],
    fields: dict[str, Any],
    keys: str,
    sent: dict[str, Any],
) -> None:
    item = {**ITEM, "answer": answer, **fields}
    tab.answer("**/prefixes/spam/review?*", {"items": [item], "next": None})
    labeled = tab.answer("**/v1/feedback", {})
    tab.sign_in(site.keys["admin"])
    tab.open("/review/acme/spam")
    if "entities" in answer:
        assert "animal: 🐢" in tab.text()
    for key in keys:
        tab.page.keyboard.press(key)
    tab.page.get_by_text("Done: no answer is left.").wait_for()
    expected = {"request_id": "r1", "index": 0, "is_review": True, **sent}
    assert [request.post_data_json for request in labeled] == [expected]
