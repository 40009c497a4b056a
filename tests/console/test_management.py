"""The screens of tenants, keys, the audit log and usage."""

import re
from typing import TYPE_CHECKING

from tests.console.new_tenant import Tenant, new_tenant
from tests.console.site import Site

if TYPE_CHECKING:
    from tests.console.browser import Tab


def test_an_operator_creates_a_tenant_and_its_first_key(tab: "Tab", site: Site) -> None:
    tab.sign_in(site.keys["operator"])
    tab.open("/tenants")
    tab.page.get_by_label("Name", exact=True).fill("first-steps")
    tab.click("Create the tenant")
    tab.click("create a key of first-steps")
    tab.page.get_by_role("heading", name="Keys of first-steps", level=1).wait_for()
    tab.wait()
    assert "No key yet" in tab.text()
    tab.page.get_by_label("Role").select_option("upload")
    tab.page.get_by_label("Note").fill("nightly training")
    tab.click("Create the key")
    field = tab.page.get_by_label(re.compile("^Key [0-9a-f]{12}$"))
    key = field.input_value()
    me = Tenant(site.url, "first-steps", key).send("GET", "/v1/me").json()
    assert (me["tenant"], me["role"]) == ("first-steps", "upload")
    tab.page.get_by_text("nightly training").wait_for()
    tab.page.reload()
    tab.wait()
    assert key not in tab.page.content()


def test_a_tenant_is_suspended_resumed_and_deleted(tab: "Tab", site: Site) -> None:
    tenant = new_tenant(site, "on-off")
    tab.sign_in(site.keys["operator"])
    tab.open("/tenants")
    tab.click("Suspend on-off")
    dialog = tab.page.get_by_role("dialog")
    dialog.get_by_role("button", name="Suspend").click()
    tab.page.get_by_role("button", name="Resume on-off").wait_for()
    assert tenant.send("GET", "/v1/me").status_code == 403
    tab.click("Resume on-off")
    tab.page.get_by_role("button", name="Suspend on-off").wait_for()
    tab.click("Delete on-off")
    dialog.get_by_role("button", name="Cancel").click()
    assert tenant.send("GET", "/v1/me").status_code == 200
    tab.click("Delete on-off")
    dialog.get_by_role("button", name="Delete").click()
    tab.page.get_by_text("Tenant on-off is deleted.").wait_for()
    assert tenant.send("GET", "/v1/me").status_code == 401


def test_limits_of_a_tenant_are_changed_and_an_invalid_one_is_explained(
    tab: "Tab", site: Site
) -> None:
    tenant = new_tenant(site, "limited")
    tab.sign_in(site.keys["operator"])
    tab.open("/tenants/limited")
    tab.click("Change the limits")
    field = tab.page.get_by_label("Requests per second", exact=True)
    field.fill("fast")
    tab.click("Save the limits")
    tab.page.get_by_role("alert").wait_for()
    field.fill("20")
    tab.click("Save the limits")
    tab.page.get_by_text("The limits are changed.").wait_for()
    assert tenant.call("GET", "/limits")["limits"] == {"requests_per_second": 20}
    tab.expect_errors("422")


def test_a_key_is_limited_rotated_and_revoked_in_its_row(tab: "Tab", site: Site) -> None:
    tenant = new_tenant(site, "rotating")
    made = tenant.call("POST", "/keys", json={"role": "infer", "label": "website"})
    tab.sign_in(tenant.key)
    tab.open("/keys")
    tab.click(f"Limits key {made['id']}")
    tab.page.get_by_label("Tokens per second").fill("2,000")
    tab.click("Save the limits")
    tab.page.get_by_text("2,000 tokens/s").wait_for()
    tab.click(f"Rotate key {made['id']}")
    tab.page.get_by_role("dialog").get_by_label("The old key").select_option("3600")
    tab.page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
    tab.page.get_by_text(f"Key {made['id']} is rotated.").wait_for()
    old = tenant.call("GET", f"/keys/{made['id']}")
    new = tenant.call("GET", f"/keys/{old['replaced_by']}")
    assert new["limits"] == {"tokens_per_second": 2000}
    tab.click(f"Revoke key {made['id']}")
    tab.page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    tab.page.get_by_text(f"Key {made['id']} is revoked.").wait_for()
    assert tenant.call("GET", f"/keys/{made['id']}")["state"] == "revoked"


def test_keys_show_what_was_used_with_them(tab: "Tab", site: Site) -> None:
    tenant = new_tenant(site, "measured")
    made = tenant.call("POST", "/keys", json={"role": "infer"})
    used = {"key_id": made["id"], "tokens": 600, "training_cpu_seconds": 45.25}
    hours = [used | {"requests": number} for number in (1, 2)]
    tab.answer("**/v1/tenants/measured/usage?*", {"usage": hours, "next": None})
    tab.sign_in(tenant.key)
    tab.open("/keys")
    row = tab.page.get_by_role("row").filter(has_text=made["id"])
    assert "3 requests, 1,200 tokens, 91 CPU seconds of trainings" in row.inner_text()


def test_revoking_the_own_key_signs_out(tab: "Tab", site: Site) -> None:
    tenant = new_tenant(site, "leaving")
    tab.sign_in(tenant.key)
    tab.open("/keys")
    tab.page.get_by_role("button", name="Revoke key").click()
    dialog = tab.page.get_by_role("dialog")
    assert "you will be signed out" in dialog.inner_text()
    dialog.get_by_role("button", name="Revoke").click()
    tab.page.get_by_text("You are not signed in").wait_for()
    assert tab.page.get_by_role("button", name="Sign out").count() == 0


def test_an_error_of_a_button_is_shown(tab: "Tab", site: Site) -> None:
    new_tenant(site, "unlucky")
    problem = {"title": "Store unavailable", "detail": "It failed.", "code": "x", "status": 503}
    tab.answer("**/v1/tenants/unlucky", problem, status=503, method="PATCH")
    tab.sign_in(site.keys["operator"])
    tab.open("/tenants/unlucky")
    tab.click("Make its prefixes public")
    tab.page.locator(".toast").get_by_text("It failed.").wait_for()
    tab.expect_errors("503")


def test_the_audit_log_is_filtered_shared_by_its_url_and_downloaded(tab: "Tab", site: Site) -> None:
    tenant = new_tenant(site, "audited")
    tenant.publish("spam")
    tab.sign_in(tenant.key)
    tab.open("/audit")
    assert "version.publish" in tab.text()
    assert "key.issue" in tab.text()
    tab.page.get_by_label("Action", exact=True).fill("version.publish")
    tab.click("Apply")
    tab.page.get_by_text("Events, newest first (1)").wait_for()
    assert tab.page.url.endswith("/console/audit?action=version.publish")
    tab.page.reload()
    tab.wait()
    assert tab.page.get_by_label("Action", exact=True).input_value() == "version.publish"
    assert "key.issue" not in tab.page.locator("table").inner_text()
    with tab.page.expect_download() as download:
        tab.click("Download all as CSV")
    lines = download.value.path().read_text().splitlines()
    assert lines[0].startswith("id,at,actor")
    assert len(lines) == 2


def test_an_operator_filters_the_audit_log_by_tenant(tab: "Tab", site: Site) -> None:
    new_tenant(site, "watched")
    tab.sign_in(site.keys["operator"])
    tab.open("/audit?tenant=watched")
    rows = tab.page.locator("tbody tr")
    assert rows.count() == 2
    assert "tenant.create" in tab.text()
    assert "key.issue" in tab.text()


def test_usage_has_a_chart_rows_and_a_download(tab: "Tab", site: Site) -> None:
    tenant = new_tenant(site, "using")
    rows = [
        {"hour": "2026-11-01T10:00:00Z", "tenant": "using", "task": "using/spam", **amounts(3)},
        {"hour": "2026-11-01T12:00:00Z", "tenant": "using", "task": "using/topics", **amounts(5)},
    ]
    tab.answer("**/v1/tenants/using/usage?*", {"usage": rows, "next": None})
    tab.sign_in(tenant.key)
    tab.open("/usage")
    chart = tab.page.get_by_role("img", name=re.compile("Requests by hour"))
    assert chart.count() == 1
    tab.page.get_by_label("Chart").last.select_option("tokens")
    assert tab.page.get_by_role("img", name=re.compile("Tokens by hour")).count() == 1
    assert tab.page.url.endswith("chart=tokens")
    assert "using/topics" in tab.text()
    with tab.page.expect_download() as download:
        tab.click("Download all as CSV")
    assert download.value.path().read_text().startswith("hour,tenant,task")


def amounts(number: int) -> dict[str, float]:
    return {
        "requests": number,
        "texts": number,
        "tokens": number * 20,
        "device_seconds": 0.1,
        "training_cpu_seconds": 0.0,
    }


def test_empty_screens_say_so(tab: "Tab", site: Site) -> None:
    tenant = new_tenant(site, "empty")
    tab.sign_in(tenant.key)
    for path, text in {
        "/usage": "No usage in this time.",
        "/trainings": "No training yet.",
        "/review": "No task yet.",
        "/audit?action=version.purge": "No event matches the filter.",
    }.items():
        tab.open(path)
        assert text in tab.text()


def test_a_key_of_a_low_role_is_told_which_role_it_needs(tab: "Tab", site: Site) -> None:
    tab.sign_in(site.keys["infer"])
    links = tab.page.get_by_role("navigation").inner_text()
    for path, role in {
        "/trainings": "upload",
        "/review": "upload",
        "/keys": "admin",
        "/audit": "admin",
        "/usage": "admin",
        "/tenants": "operator",
    }.items():
        tab.open(path)
        assert f"this screen needs the role {role}" in tab.text()
    assert "Keys" not in links
    assert "Training" not in links


def test_another_tenant_is_as_if_it_did_not_exist(tab: "Tab", site: Site) -> None:
    new_tenant(site, "hidden-one")
    tab.sign_in(site.keys["admin"])
    tab.open("/keys/hidden-one")
    assert tab.page.get_by_role("alert").inner_text().startswith("Tenant not found")
    tab.page.wait_for_load_state("networkidle")
    tab.expect_errors("404", "404")  # of the keys and of their usage


def test_an_error_of_the_server_is_shown(tab: "Tab", site: Site) -> None:
    problem = {
        "title": "Store unavailable",
        "detail": "The store failed.",
        "code": "x",
        "status": 503,
    }
    tab.answer("**/v1/audit*", problem, status=503)
    tab.sign_in(site.keys["admin"])
    tab.open("/audit")
    assert tab.page.get_by_role("alert").inner_text().startswith("Store unavailable")
    tab.expect_errors("503")
