"""The example of the page about HTTP dialects is served as it stands there."""

import json
import re
import sys
from types import ModuleType

import pytest

from prefixes.backbone import Backbone
from server import app
from server.api import access
from tests.server.pages import DOCS, with_served_tasks
from tests.server.rest import serving

PAGE = with_served_tasks((DOCS / "add-an-http-dialect.md").read_text())


def blocks(language: str) -> list[str]:
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return found


def module_of(name: str, source: str) -> ModuleType:
    module = ModuleType(f"server.api.dialects.{name}")
    exec(compile(source, f"{name}.py", "exec"), module.__dict__)
    return module


def test_the_dialect_of_the_page_answers_as_the_page_says(
    backbone: Backbone, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    schemas, routes = blocks("python")
    request, expected = map(json.loads, blocks("json"))
    models = module_of("example_schemas", schemas)
    monkeypatch.setitem(sys.modules, models.__name__, models)
    monkeypatch.setattr(access, "VISIBLE", access.VISIBLE | {"POST /labels"})
    monkeypatch.setattr(app, "DIALECTS", (*app.DIALECTS, module_of("example", routes)))

    with serving(tmp_path_factory.mktemp("dialect"), backbone) as rest:
        response = rest.call("POST", "/labels", json=request)
        unknown = rest.call("POST", "/labels", json={**request, "model": "examples/none"})

    assert response.status_code == 200, response.text
    assert response.json().keys() == expected.keys()
    assert response.json()["model"] == expected["model"]
    assert set(response.json()["labels"]) <= {"good", "bad"}
    assert len(response.json()["labels"]) == len(expected["labels"])
    assert unknown.json()["code"] == "key_required"
