"""The overview, the tasks and the playground of the console in a real browser."""

import re
from pathlib import Path
from typing import Any, Final

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install -e '.[dev]'")

from playwright.sync_api import Route, expect

from prefixes import Prefix
from tests.console.browser import Tab, serious_violations
from tests.console.new_tenant import new_tenant
from tests.console.site import SPAM, Site, changed

PRIZE: Final = "You have won a free prize! Call now to claim."
ROWS: Final = (
    '{"text": "You have won a free prize! Call now to claim.", "label": "spam"}\n'
    '{"text": "See you at lunch?", "label": "ham"}\n'
    '{"text": "Shall we meet at home?", "label": "spam"}\n'
)


def publish(site: Site, task: str, *, num_versions: int = 2) -> None:
    """Publish versions of a task of acme. The first one is live."""
    prefix = Prefix.load(SPAM)
    with site.client("upload") as client:
        for number in range(num_versions):
            data = changed(prefix, scale=1 / (number + 1)).to_bytes()
            path = f"/v1/tenants/acme/prefixes/{task}/versions"
            client.post(path, files={"file": ("f", data)}).raise_for_status()


def live_of(site: Site, task: str) -> int:
    with site.client("infer") as client:
        aliases = client.get(f"/v1/tenants/acme/prefixes/{task}").json()["aliases"]
    return next(int(alias["version"]) for alias in aliases if alias["name"] == "live")


def confirm(tab: Tab, action: str) -> None:
    """Press the button of the dialog, and wait until the screen is drawn again."""
    dialog = tab.page.get_by_role("dialog")
    assert serious_violations(tab.page) == []
    dialog.get_by_role("button", name=action, exact=True).click()
    expect(dialog).to_have_count(0)
    tab.wait()


def test_the_overview_draws_what_happens_while_it_is_open(tab: Tab, site: Site) -> None:
    tab.open("")
    expect(tab.page.get_by_text("The server accepts requests.")).to_be_visible()
    with site.client("infer") as client:
        for _ in range(3):
            inputs = [{"model": f"examples/{task}", "text": PRIZE} for task in ("spam", "intents")]
            client.post("/v1/classify", json={"input": inputs}).raise_for_status()
    chart = tab.page.get_by_role("img", name=re.compile("Throughput"))
    expect(chart).to_have_attribute("aria-label", re.compile(r"Maximum [1-9]|Maximum 0\.[1-9]"))
    figure = tab.page.get_by_label("Distinct tasks per batch")
    expect(figure).to_contain_text(re.compile(r"\d\.\d\d"))
    expect(tab.page.get_by_label("Residency")).to_contain_text("MiB")


def test_metrics_behind_a_key_are_drawn_once_it_is_entered(tab: Tab, site: Site) -> None:
    def check_key(route: Route) -> None:
        if route.request.headers.get("authorization") == "Bearer scraper":
            route.continue_(headers={"Accept": "*/*"})
        else:
            problem = {"title": "Invalid key", "detail": "Not the key of metrics.", "code": "x"}
            route.fulfill(status=401, json=problem)

    tab.page.route("**/metrics", check_key)
    tab.open("")
    expect(tab.page.get_by_label("Residency")).to_have_count(0)
    tab.page.get_by_label("Metrics key", exact=True).last.fill("wrong")
    tab.click("Show metrics")
    expect(tab.page.get_by_role("alert")).to_contain_text("Not the key of metrics.")
    tab.page.get_by_label("Metrics key", exact=True).last.fill("scraper")
    tab.click("Show metrics")
    expect(tab.page.get_by_label("Residency")).to_contain_text("MiB")
    expect(
        tab.page.get_by_role("img", name=re.compile(r"Throughput.* Latest texts: \d"))
    ).to_have_count(1)
    tab.expect_errors("401", "401")


def test_tasks_are_found_by_parts_of_their_names_and_the_search_is_in_the_url(tab: Tab) -> None:
    tab.open("/tasks")
    tab.page.get_by_label("Search").fill("exam INT")
    expect(tab.page.get_by_role("link", name="examples/intents")).to_be_visible()
    expect(tab.page.get_by_role("link", name="examples/spam")).to_have_count(0)
    tab.page.reload()
    tab.wait()
    assert tab.page.url.endswith("?q=exam+int")
    expect(tab.page.get_by_text("1 task")).to_be_visible()
    tab.page.get_by_label("Search").fill("nothing like this")
    expect(tab.page.get_by_text("No task matches")).to_be_visible()


def test_operators_choose_a_tenant(tab: Tab, site: Site) -> None:
    tab.sign_in(site.keys["operator"])
    tab.open("/tasks")
    tab.page.get_by_label("Tenant").select_option("acme")
    expect(tab.page.get_by_role("link", name="acme/facts")).to_be_visible()
    tab.page.get_by_role("link", name="acme/facts").click()
    expect(tab.page.get_by_role("heading", level=1)).to_have_text("acme/facts")


def test_the_list_of_tasks_leads_to_the_form_of_a_training(tab: Tab, site: Site) -> None:
    tab.sign_in(site.keys["upload"])
    tab.open("/tasks")
    tab.click("Train a new task")
    expect(tab.page.get_by_label("Labeled file")).to_be_visible()


def test_a_file_is_checked_before_it_is_published(tab: Tab, site: Site) -> None:
    tab.sign_in(site.keys["upload"])
    tab.open("/tasks")
    tab.click("Upload a new task")
    tab.page.get_by_label("Name of the task").fill("uploaded")
    file = tab.page.get_by_label("Prefix file")
    data = SPAM.read_bytes()
    file.set_input_files(
        {"name": "cut.safetensors", "mimeType": "application/octet-stream", "buffer": data[:5000]}
    )
    expect(tab.page.get_by_role("alert")).to_contain_text("Expected")
    expect(tab.page.get_by_role("button", name="Publish")).to_have_count(0)
    tab.expect_errors("422")
    doubtful = changed(Prefix.load(SPAM)).to_bytes()
    file.set_input_files(
        {"name": "x.safetensors", "mimeType": "application/octet-stream", "buffer": doubtful}
    )
    expect(tab.page.get_by_text("no_golden_examples")).to_be_visible()
    with site.client("infer") as client:
        assert client.get("/v1/tenants/acme/prefixes/uploaded").status_code == 404
    tab.click("Publish")
    expect(tab.page.get_by_role("heading", level=1)).to_have_text("acme/uploaded")
    assert live_of(site, "uploaded") == 1


def test_a_dropped_file_is_checked_too(tab: Tab, site: Site) -> None:
    tab.sign_in(site.keys["upload"])
    tab.open("/tasks/acme/spam")
    transfer = tab.page.evaluate_handle(
        "async (path) => { const file = await (await fetch(path)).blob();"
        " const data = new DataTransfer();"
        " data.items.add(new File([file], 'x.safetensors')); return data }",
        "/v1/tenants/examples/prefixes/spam/versions/1/file",
    )
    tab.page.locator(".drop", has_text="Prefix file").dispatch_event(
        "drop", {"dataTransfer": transfer}
    )
    upload = tab.page.get_by_role("region", name="Upload a version")
    expect(upload).to_contain_text("8 golden examples gave the stored outputs")


def test_a_version_is_promoted_and_rolled_back(tab: Tab, site: Site) -> None:
    publish(site, "moved")
    tab.sign_in(site.keys["upload"])
    tab.open("/tasks/acme/moved")
    tab.page.get_by_label("Version for live").select_option("2")
    tab.click("Promote to live")
    confirm(tab, "Promote @2")
    expect(tab.page.get_by_role("region", name="Alias live")).to_contain_text("@2")
    assert live_of(site, "moved") == 2
    tab.click("Roll back live")
    expect(tab.page.get_by_role("dialog")).to_contain_text("returns from @2 to @1")
    confirm(tab, "Roll back to @1")
    expect(tab.page.locator(".toasts")).to_contain_text("acme/moved:live points to @1 again.")
    assert live_of(site, "moved") == 1
    expect(tab.page.get_by_role("button", name="Promote to live")).to_be_visible()
    expect(tab.page.get_by_role("button", name="Roll back live")).to_have_count(0)


def test_a_task_leads_to_the_training_of_a_new_version(tab: Tab, site: Site) -> None:
    tab.sign_in(site.keys["upload"])
    tab.open("/tasks/acme/spam")
    expect(tab.page.get_by_role("link", name="acme", exact=True)).to_have_count(0)
    tab.click("Train a new version")
    expect(tab.page.get_by_label("Task", exact=True)).to_have_value("spam")


def test_authors_lead_admins_to_the_keys_in_the_audit_log(tab: Tab, site: Site) -> None:
    tab.sign_in(site.keys["admin"])
    tab.open("/tasks/acme/spam")
    tab.page.get_by_role("region", name="Versions").get_by_role("link", name="acme").first.click()
    events = tab.page.get_by_role("region", name=re.compile("^Events"))
    expect(events.locator("tbody tr")).to_have_count(1)
    expect(events).to_contain_text(re.compile("acme key [0-9a-f]+.*acme/spam@2", re.DOTALL))


def test_a_tenant_without_tasks_is_led_to_its_first_training(tab: Tab, site: Site) -> None:
    tenant = new_tenant(site, "newcomer")
    tab.sign_in(tenant.key)
    assert serious_violations(tab.page) == []
    tab.click("Train your first task")
    expect(tab.page.get_by_label("Labeled file")).to_be_visible()
    tenant.publish("spam")
    tab.open("")
    expect(tab.page.get_by_role("link", name="Train your first task")).to_have_count(0)


def test_a_server_without_tasks_leads_through_signing_in_to_a_training(tab: Tab) -> None:
    tab.open("")
    expect(tab.page.get_by_role("link", name="Train your first task")).to_have_count(0)
    tab.answer("**/v1/models", {"data": []})
    tab.open("")
    tab.click("Train your first task")
    expect(tab.page.locator("main").get_by_role("link", name="Sign in")).to_have_attribute(
        "href", "/console/sign-in?next=%2Fconsole%2Ftrainings"
    )


def test_a_promotion_that_somebody_else_overtook_is_reported(tab: Tab, site: Site) -> None:
    publish(site, "raced", num_versions=3)
    tab.sign_in(site.keys["upload"])
    tab.open("/tasks/acme/raced")
    with site.client("upload") as client:
        path = "/v1/tenants/acme/prefixes/raced/aliases/live"
        client.put(path, json={"version": 3}).raise_for_status()
    tab.page.get_by_label("Version for live").select_option("2")
    tab.click("Promote to live")
    tab.page.get_by_role("button", name="Promote @2").click()
    expect(tab.page.get_by_role("dialog").get_by_role("alert")).to_contain_text("was not moved")
    tab.expect_errors("412")
    tab.page.keyboard.press("Escape")
    expect(tab.page.get_by_role("dialog")).to_have_count(0)
    assert live_of(site, "raced") == 3


def test_a_canary_shows_the_agreement_of_both_versions(tab: Tab, site: Site) -> None:
    publish(site, "shared-out")
    tab.sign_in(site.keys["upload"])
    tab.open("/tasks/acme/shared-out")
    tab.page.get_by_label("Callers that the canary answers").fill("30")
    tab.page.get_by_label("Inputs that both versions run").fill("100")
    tab.click("Start the canary")
    agreement = tab.page.get_by_role("region", name="Agreement")
    expect(agreement).to_contain_text("none yet")
    with site.client("infer") as client:
        body = {"model": "acme/shared-out", "input": [PRIZE] * 4}
        client.post("/v1/classify", json=body).raise_for_status()
    expect(agreement).to_contain_text("4 of 4 compared inputs")
    expect(agreement).to_contain_text("100.0 %")
    tab.page.reload()
    tab.wait()
    expect(tab.page.get_by_label("Callers that the canary answers")).to_have_value("30")
    expect(tab.page.get_by_label("Inputs that both versions run")).to_have_value("100")
    tab.click("Promote the canary")
    confirm(tab, "Promote @2")
    assert live_of(site, "shared-out") == 2


def test_thresholds_of_the_alias_change_without_a_new_version(tab: Tab, site: Site) -> None:
    publish(site, "ruled", num_versions=1)
    tab.sign_in(site.keys["upload"])
    tab.open("/tasks/acme/ruled")
    tab.page.get_by_text("Thresholds of the alias live").click()
    tab.page.get_by_label("Threshold of spam").fill("0.99")
    tab.click("Set rules")
    expect(tab.page.get_by_role("button", name="Delete rules")).to_be_visible()
    expect(tab.page.get_by_label("Threshold of spam")).to_have_value("0.99")
    with site.client("infer") as client:
        body = {"model": "acme/ruled", "input": PRIZE}
        assert client.post("/v1/classify", json=body).json()["results"][0]["label"] == "ham"
        tab.click("Delete rules")
        expect(tab.page.get_by_role("button", name="Delete rules")).to_have_count(0)
        assert client.post("/v1/classify", json=body).json()["results"][0]["label"] == "spam"


def test_labeled_rows_give_the_accuracy_and_the_confusion(tab: Tab, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(ROWS)
    tab.open("/tasks/examples/spam")
    tab.page.get_by_text("Measure this version").click()
    tab.page.get_by_label("Labeled rows").set_input_files(rows)
    tab.click("Measure")
    expect(tab.page.get_by_text("2 of 3 rows are right.")).to_be_visible()
    matrix = tab.page.get_by_role("region", name="Confusion matrix")
    expect(matrix.get_by_role("row").nth(2)).to_have_text(re.compile(r"spam\s*1\s*1"))
    other = tmp_path / "other.jsonl"
    other.write_text('{"text": "no label"}\n')
    tab.page.get_by_label("Labeled rows").set_input_files(other)
    tab.click("Measure")
    expect(tab.page.get_by_role("alert")).to_have_text(re.compile("^Line 1 is not a labeled row"))


def answer_training(tab: Tab, report: dict[str, Any], *, status: int = 200) -> None:
    """Answer as if a training with this report had published version 1 of acme/spam."""
    made = {"id": "t1", "task": "spam", "result": {"version": 1}}
    tab.answer("**/v1/tenants/acme/trainings", {"trainings": [made]})
    tab.answer("**/v1/tenants/acme/trainings/t1/report", report, status=status)


def test_a_trained_version_shows_its_confusion(tab: Tab, site: Site) -> None:
    answer_training(tab, {"validation": {"confusion": [[0, 0, 8], [0, 1, 2], [1, 1, 10]]}})
    tab.sign_in(site.keys["upload"])
    tab.open("/tasks/acme/spam")
    version = tab.page.get_by_role("region", name="Version 1")
    expect(version.get_by_role("heading", name="Confusion of the validation rows")).to_be_visible()
    rows = version.get_by_role("region", name="Confusion matrix").locator("tbody tr")
    assert [row.split("\t") for row in rows.all_inner_texts()] == [
        ["ham", "8", "2"],
        ["spam", "0", "10"],
    ]
    tab.click("@2")
    expect(tab.page.get_by_role("heading", name="Version @2")).to_be_visible()
    expect(tab.page.get_by_role("region", name="Confusion matrix")).to_have_count(0)


def test_a_training_without_a_report_leaves_its_version_usable(tab: Tab, site: Site) -> None:
    problem = {"title": "Not written yet", "detail": "Wait.", "code": "nothing_to_show"}
    answer_training(tab, problem, status=404)
    tab.sign_in(site.keys["upload"])
    tab.open("/tasks/acme/spam")
    expect(tab.page.get_by_role("heading", name="Version @1")).to_be_visible()
    expect(tab.page.get_by_role("region", name="Confusion matrix")).to_have_count(0)
    tab.expect_errors("404")


def test_a_version_is_downloaded_as_it_was_uploaded(tab: Tab, site: Site) -> None:
    tab.sign_in(site.keys["infer"])
    tab.open("/tasks/acme/spam")
    with tab.page.expect_download() as download:
        tab.click("Download @1")
    assert download.value.suggested_filename == "acme-spam-1.safetensors"
    assert Path(download.value.path()).read_bytes() == SPAM.read_bytes()


def test_two_versions_and_another_task_answer_side_by_side(tab: Tab, site: Site) -> None:
    tab.sign_in(site.keys["infer"])
    tab.open("/tasks/acme/spam")
    tab.click("@1 with @2")
    tab.page.get_by_label("Add a task or version").fill("acme/entities")
    tab.click("Add")
    expect(tab.page.get_by_role("button", name="Remove acme/entities")).to_be_visible()
    expect(tab.page.get_by_label("text", exact=True)).to_be_focused()
    models = "model=acme%2Fspam%401&model=acme%2Fspam%402&model=acme%2Fentities"
    assert tab.page.url == f"{site.url}/console/playground?{models}"
    tab.page.get_by_label("text", exact=True).fill(f"\N{PARTY POPPER} {PRIZE}")
    tab.page.get_by_label("Explain").check()
    tab.click("Run")
    first = tab.page.get_by_role("region", name="Result of acme/spam@1")
    expect(first).to_contain_text("spam")
    expect(first.locator('[class="support-5"]')).to_have_text(re.compile("free|prize"))
    expect(tab.page.get_by_role("region", name="Result of acme/spam@2")).to_be_visible()
    entities = tab.page.get_by_role("region", name="Result of acme/entities")
    words = entities.get_by_role("row").nth(1).get_by_role("cell").nth(0).inner_text()
    assert entities.locator("mark").first.inner_text().startswith(words)
    assert serious_violations(tab.page) == []
    tab.page.get_by_role("button", name="Remove acme/entities").click()
    expect(tab.page.get_by_role("button", name="Remove acme/entities")).to_have_count(0)


def test_an_answer_is_marked_in_its_context(tab: Tab, site: Site) -> None:
    tab.sign_in(site.keys["infer"])
    tab.open("/playground?model=acme/facts")
    expect(tab.page.get_by_label("question")).to_be_focused()
    order = tab.page.locator("main form").evaluate_all("(all) => all.map((one) => one.ariaLabel)")
    assert order == ["Text", "Tasks"]
    tab.page.get_by_label("question").fill("what was lost")
    tab.page.get_by_label("context").fill("the book was lost in the city")
    tab.click("Run")
    result = tab.page.get_by_role("region", name="Result of acme/facts")
    answer = result.locator(".figure").inner_text()
    if answer != "no answer":
        expect(result.locator("mark")).to_contain_text(answer)
    expect(result.locator(".bars li")).not_to_have_count(0)


def test_an_unknown_task_is_reported_where_it_is_entered(tab: Tab) -> None:
    tab.open("/playground")
    tab.page.get_by_label("Add a task or version").fill("examples/missing")
    tab.click("Add")
    expect(tab.page.get_by_role("alert")).to_contain_text("prefix")
    tab.expect_errors("401")
