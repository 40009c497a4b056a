"""The pages for operators and callers say what the program does, no more and no less."""

import json
import re
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from typer.main import get_command

from prefixes.registry.audit import Action
from server.api.statuses import STATUS
from server.command_line.main import app as commands
from server.settings import Settings, variable_of
from tests.server.pages import DOCS, section_of
from tests.server.rest import Rest

OPERATING = (DOCS / "operating.md").read_text()
HTTP_API = "\n".join(
    (DOCS / page).read_text()
    for page in (
        "http-api.md",
        "answers.md",
        "compatible-apis.md",
        "tenants.md",
        "lifecycle.md",
        "webhooks.md",
        "feedback.md",
        "trainings.md",
        "batches.md",
    )
)


def setting_row(name: str) -> str:
    """The line of the table of settings that belongs to a setting."""
    field = Settings.model_fields[name]
    command = get_command(commands).commands["serve"]  # type: ignore[attr-defined]
    has_flag = name in {parameter.name for parameter in command.params}
    flag = f"`--{name.replace('_', '-')}`" if has_flag else ""
    default = "" if field.default is None else f"`{field.default}`"
    return f"| `{variable_of(name)}` | {flag} | {default} | {field.description} |"


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_every_setting_stands_in_the_table(name: str) -> None:
    assert setting_row(name) in OPERATING.splitlines()


def test_the_table_has_no_setting_that_is_gone() -> None:
    described = set(re.findall(r"^\| `(POLYPREFIX_[A-Z_]+)`", OPERATING, re.MULTILINE))
    assert described == {variable_of(name) for name in Settings.model_fields}


def test_every_metric_is_described(rest: Rest) -> None:
    shown = rest.call("GET", "/metrics").text
    names = set(re.findall(r"^# TYPE (polyprefix_\w+)", shown, re.MULTILINE))
    names = {name for name in names if not name.endswith("_created")}
    assert names >= {"polyprefix_batch_tokens", "polyprefix_waiting_inputs"}
    described = set(re.findall(r"^\| `(polyprefix_\w+)`", OPERATING, re.MULTILINE))
    series = {
        f"polyprefix_{label}_{name}_total"
        for label in ("tenant", "task")
        for name in ("requests", "texts", "tokens", "device_seconds")
    }
    assert described == names | {"polyprefix_front_ends"} | series  # where there are such


def routes(rest: Rest) -> set[str]:
    paths = rest.call("GET", "/openapi.json").json()["paths"]
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


def test_every_endpoint_is_described_and_none_that_is_not_there(rest: Rest) -> None:
    described = set(re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /\S*)`", HTTP_API))
    assert described == routes(rest)


def test_every_error_code_is_described_with_its_status() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (\d{3}) \|", HTTP_API, re.MULTILINE))
    codes = {kind.code: str(status) for kind, (status, _) in STATUS.items()}  # type: ignore[attr-defined]
    unseen = {"backbone_unavailable"}  # command line only
    assert {code: rows.get(code) for code in codes.keys() - unseen} == {
        code: status for code, status in codes.items() if code not in unseen
    }


def test_every_audited_action_is_in_the_one_row_of_actions() -> None:
    rows = re.findall(r"^\| `action` \| (.+) \|$", HTTP_API, re.MULTILINE)
    assert len(rows) == 1
    assert re.findall(r"`([\w.]+)`", rows[0]) == list(get_args(Action))


def json_after(title: str) -> list[Any]:
    """The JSON blocks of the section with this title."""
    section = section_of(HTTP_API, title)
    return [json.loads(text) for text in re.findall(r"```json\n(.*?)```", section, re.DOTALL)]


@pytest.mark.parametrize(
    ("title", "route"),
    [
        ("Classify", "/v1/classify"),
        ("Token classification", "/v1/token-classification"),
        ("Question answering", "/v1/question-answering"),
        ("Multiple choice", "/v1/multiple-choice"),
        ("Embeddings", "/v1/embeddings"),
        ("text-embeddings-inference", "/predict"),
        ("vLLM", "/classify"),
    ],
)
def test_requests_of_the_page_are_answered_in_the_shape_of_the_page(
    rest: Rest, title: str, route: str
) -> None:
    request, answer = json_after(title)[:2]
    response: httpx.Response = rest.call("POST", route, json=request)
    assert response.status_code == 200, response.text
    assert shape(response.json()) == shape(answer)


def shape(value: Any) -> Any:
    """A JSON value with every leaf replaced by its type, lists by their first element."""
    match value:
        case dict():
            return {name: shape(item) for name, item in value.items()}
        case [first, *_]:
            return [shape(first)]
        case float() | int() if not isinstance(value, bool):
            return "number"
        case _:
            return type(value).__name__


LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_between_pages_leads_to_a_page_and_a_heading() -> None:
    root = DOCS.parent
    broken = []
    for page in [*root.glob("*.md"), *DOCS.rglob("*.md")]:
        for link in LINK.findall(page.read_text()):
            path, _, anchor = link.partition("#")
            if "://" in link:
                continue
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or (anchor and anchor not in anchors(target)):
                broken.append((page.name, link))
    assert broken == []
