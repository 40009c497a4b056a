"""The built site: complete, linked, without requests to other hosts, and with llms.txt."""

import re
from html import unescape
from pathlib import Path

from typer.main import get_command

from server.api.statuses import STATUS
from server.command_line.main import app
from server.settings import Settings, variable_of
from tests.server.command_line.walk import commands
from website.check import findings_of
from website.links import DOCS
from website.reference.http_api import openapi_document


def text_of(page: Path) -> str:
    return unescape(re.sub(r"<[^>]+>", "", page.read_text()))


def test_links_lead_somewhere_and_nothing_loads_from_another_host(site: Path) -> None:
    assert len(list(site.rglob("*.html"))) > len(list(DOCS.rglob("*.md")))
    assert list(findings_of(site)) == []


def test_every_page_tells_the_browser_to_load_from_the_site_alone(site: Path) -> None:
    for page in site.rglob("*.html"):
        policy = re.search(r'Content-Security-Policy"\s+content="([^"]+)"', page.read_text())
        assert policy, page
        assert "default-src 'self'" in policy[1]
        assert "http" not in policy[1]


def test_every_page_of_docs_is_a_page_of_the_site(site: Path) -> None:
    for page in DOCS.rglob("*.md"):
        path = site / page.relative_to(DOCS).with_suffix(".html")
        path = path.with_name("index.html") if page.name == "README.md" else path
        assert path.is_file(), page


def test_the_reference_has_every_route_with_its_role(site: Path) -> None:
    index = text_of(site / "reference/http/index.html")
    pages = "\n".join(text_of(page) for page in (site / "reference/http").glob("*.html"))
    for path, operations in openapi_document()["paths"].items():
        for method, operation in operations.items():
            assert f"{method.upper()} {path}\n" in index
            assert operation["summary"] in pages


def test_the_reference_has_every_schema(site: Path) -> None:
    page = (site / "reference/http/schemas.html").read_text()
    assert len(re.findall(r"<h2 ", page)) == len(openapi_document()["components"]["schemas"])


def test_the_reference_has_every_error_code_with_its_status(site: Path) -> None:
    page = text_of(site / "reference/http/errors.html")
    for kind, (status, title) in STATUS.items():
        code = kind.code  # type: ignore[attr-defined]
        assert re.search(rf"\n{status}\n{code}\n{re.escape(title)}\n", page), code


def test_the_reference_has_every_setting_with_its_meaning(site: Path) -> None:
    page = text_of(site / "reference/settings.html")
    for name, field in Settings.model_fields.items():
        assert page.count(f"\n{variable_of(name)}") >= 1, name
        assert (field.description or "").replace("`", "") in page


def test_the_reference_has_every_command_and_option(site: Path) -> None:
    page = text_of(site / "reference/command-line.html")
    assert get_command(app)
    for name, command in commands():
        assert f"\n{name}" in page
        for option in (flag for item in command.params for flag in item.opts if flag[0] == "-"):
            assert option in page, (name, option)


def test_the_reference_has_the_metrics_of_the_handbook(site: Path) -> None:
    page = text_of(site / "reference/metrics.html")
    operating = (DOCS / "operating.md").read_text()
    described = set(re.findall(r"^\| `(polyprefix_\w+)`", operating, re.MULTILINE))
    shown = set(re.findall(r"polyprefix_\w+", page))
    assert described - {"polyprefix_front_ends"} <= shown


def test_the_reference_describes_python_modules(site: Path) -> None:
    page = text_of(site / "reference/python.html")
    for name in ("PrefixRef", "load_backbone", "run_mixed", "open_registry", "find_entities"):
        assert f"{name}" in page
    assert "Load and freeze a backbone." in page


def test_llms_txt_lists_every_page_as_markdown(site: Path) -> None:
    text = (site / "llms.txt").read_text()
    listed = re.findall(r"^- \[[^\]]+\]\(([^)]+)\)", text, re.MULTILINE)
    assert text.startswith("# polyprefix\n\n> ")
    assert len(listed) == len(set(listed))
    assert all((site / page).is_file() for page in listed)
    full = (site / "llms-full.txt").read_text()
    for page in DOCS.rglob("*.md"):
        name = page.relative_to(DOCS).as_posix()
        assert name in listed
        assert f"<!-- {name} -->" in full
    for title in re.findall(r"^# .+", (DOCS / "http-api.md").read_text(), re.MULTILINE):
        assert title in full
